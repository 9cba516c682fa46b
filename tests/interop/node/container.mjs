// §7 Batch, §8 Sealed message: framing, buckets and both suites.
import {
  createCipheriv,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  randomBytes,
} from 'node:crypto';
import { Aes256Gcm, CipherSuite, HkdfSha256 } from '@hpke/core';
import { XWing } from '@hpke/hybridkem-x-wing';
import { compactDecrypt } from 'jose';
import {
  b64u,
  canonical,
  closed,
  demand,
  isKid,
  isOrg,
  isUuid,
  among,
  length32,
  ordered,
  parseCanonical,
  parseExact,
  refuse,
  sha256,
  unb64u,
} from './spelling.mjs';

export const HPKE = 'hpke-mlkem768-x25519-a256gcm';
export const JWE = 'jwe-ecdh-es-a256gcm';
const BUCKETS = [4096, 16384, 65536, 262144, 1048576, 4194304];
const MOST_MESSAGES = 64;
const MOST_SEALED = 5594454;
const MOST_PREAMBLE = 1024;
const HPKE_OVERHEAD = 1136;
const JWE_HEADER = 512;

// --- §7 ---

export const joinBatch = (items) => Buffer.concat(items.flatMap((item) => [length32(item.length), item]));

export function splitBatch(body) {
  const items = [];
  for (let at = 0; at < body.length; ) {
    demand(at + 4 <= body.length, 'malformed', 'a length is cut off');
    const size = body.readUInt32BE(at);
    demand(
      size >= 1 && size <= MOST_SEALED && at + 4 + size <= body.length,
      'malformed',
      'the length of an item',
    );
    items.push(body.subarray(at + 4, at + 4 + size));
    at += 4 + size;
  }
  demand(items.length >= 1 && items.length <= MOST_MESSAGES, 'malformed', 'the number of items');
  return items;
}

// --- §8.1, §8.2 ---

const PREAMBLE = {
  aud: isOrg,
  enc_kid: isKid,
  iss: isOrg,
  jti: isUuid,
  suite: among(HPKE, JWE),
  v: (v) => v === 1,
};
export const PREAMBLE_MEMBERS = ['aud', 'enc_kid', 'iss', 'jti', 'suite'];

export function readPreamble(line) {
  demand(line.length <= MOST_PREAMBLE, 'malformed', 'a preamble too long');
  return closed(parseCanonical(line), PREAMBLE, 'malformed');
}

export function pack(first, second, payload) {
  const parts = [first, second, payload].map((part) => Buffer.from(part));
  const used = 16 + parts.reduce((sum, part) => sum + part.length, 0);
  const bucket = BUCKETS.find((size) => size >= used) ?? refuse('too-large', 'larger than every bucket');
  return joinBatch([...parts, Buffer.alloc(bucket - used)]);
}

export function unpack(plaintext) {
  demand(BUCKETS.includes(plaintext.length), 'malformed', 'no bucket');
  const parts = [];
  let at = 0;
  for (; parts.length < 4; at += 4 + parts.at(-1).length) {
    demand(at + 4 <= plaintext.length, 'malformed', 'a part is missing');
    const size = plaintext.readUInt32BE(at);
    demand(at + 4 + size <= plaintext.length, 'malformed', 'a part is cut off');
    parts.push(plaintext.subarray(at + 4, at + 4 + size));
  }
  demand(at === plaintext.length, 'malformed', 'bytes after the padding');
  const [first, second, payload, padding] = parts;
  demand(
    padding.every((byte) => byte === 0),
    'malformed',
    'padding that is not zero',
  );
  demand(
    BUCKETS.find((size) => size >= plaintext.length - padding.length) === plaintext.length,
    'malformed',
    'a larger bucket than needed',
  );
  demand(
    [...first, ...second].every((byte) => byte < 128),
    'malformed',
    'a seal that is not ASCII',
  );
  return { first: first.toString('latin1'), second: second.toString('latin1'), payload };
}

// --- §8.3: the HPKE library knows this KEM under the name X-Wing ---

const hpke = () => new CipherSuite({ kem: new XWing(), kdf: new HkdfSha256(), aead: new Aes256Gcm() });
const infoOf = (line) => Buffer.concat([Buffer.from('ecluse/hpke/1\n'), sha256(line)]);
const ENC = 1120;

/** A key pair of the suite from its 32-byte seed; `public` are the 1216 bytes of §3. */
export async function hpkeKey(seed = randomBytes(32)) {
  const { kem } = hpke();
  const pair = await kem.generateKeyPairDerand(new Uint8Array(seed));
  return { privateKey: pair.privateKey, public: b64u(await kem.serializePublicKey(pair.publicKey)) };
}

async function hpkeEncrypt(line, plaintext, record) {
  const suite = hpke();
  const recipientPublicKey = await suite.kem.deserializePublicKey(new Uint8Array(unb64u(record.public)));
  const sender = await suite.createSenderContext({ recipientPublicKey, info: new Uint8Array(infoOf(line)) });
  const sealed = await sender.seal(new Uint8Array(plaintext));
  return Buffer.concat([Buffer.from(sender.enc), Buffer.from(sealed)]);
}

async function hpkeDecrypt(line, ciphertext, recipientKey) {
  demand(BUCKETS.includes(ciphertext.length - HPKE_OVERHEAD), 'malformed', 'the length of the ciphertext');
  const bytes = new Uint8Array(ciphertext);
  try {
    const context = await hpke().createRecipientContext({
      recipientKey,
      enc: bytes.slice(0, ENC),
      info: new Uint8Array(infoOf(line)),
    });
    return Buffer.from(await context.open(bytes.slice(ENC)));
  } catch {
    return refuse('malformed', 'it cannot be opened');
  }
}

// --- §8.4: jose opens what others made; it cannot write the members of `epk` in the protocol's order ---

const partyInfo = (value) => Buffer.concat([length32(value.length), value]);

function concatKdf(z, apu, apv) {
  return sha256(
    length32(1),
    z,
    partyInfo(Buffer.from('A256GCM')),
    partyInfo(apu),
    partyInfo(apv),
    length32(256),
  );
}

function jweEncrypt(line, plaintext, record) {
  const { iss } = readPreamble(line);
  const theirs = createPublicKey({ key: unb64u(record.public), format: 'der', type: 'spki' });
  const own = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const { kty, crv, x, y } = own.publicKey.export({ format: 'jwk' });
  const [apu, apv] = [Buffer.from(iss), sha256(line)];
  const head = b64u(
    ordered({ alg: 'ECDH-ES', enc: 'A256GCM', apu: b64u(apu), apv: b64u(apv), epk: { kty, crv, x, y } }),
  );
  const key = concatKdf(diffieHellman({ privateKey: own.privateKey, publicKey: theirs }), apu, apv);
  const iv = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(Buffer.from(head));
  const sealed = Buffer.concat([cipher.update(plaintext), cipher.final()]);
  return Buffer.from([head, '', b64u(iv), b64u(sealed), b64u(cipher.getAuthTag())].join('.'));
}

async function jweDecrypt(line, ciphertext, privateKey) {
  const { iss } = readPreamble(line);
  const token = ciphertext.toString('latin1');
  const segments = token.split('.');
  demand(segments.length === 5 && segments[1] === '', 'malformed', 'no compact JWE with an empty key');
  const [head, , iv, sealed, tag] = segments.map((segment) => unb64u(segment));
  demand(
    head.length <= JWE_HEADER && iv.length === 12 && tag.length === 16,
    'malformed',
    'the size of a segment',
  );
  demand(BUCKETS.includes(sealed.length), 'malformed', 'the length of the ciphertext');
  const header = parseExact(head);
  const expected = { alg: 'ECDH-ES', enc: 'A256GCM', apu: b64u(Buffer.from(iss)), apv: b64u(sha256(line)) };
  const { x, y } = header?.epk ?? {};
  demand(typeof x === 'string' && typeof y === 'string', 'malformed', 'no ephemeral key');
  demand(
    ordered({ ...expected, epk: { kty: 'EC', crv: 'P-256', x, y } }).equals(head),
    'malformed',
    'another header',
  );
  demand(unb64u(x).length === 32 && unb64u(y).length === 32, 'malformed', 'the size of a coordinate');
  try {
    const options = { keyManagementAlgorithms: ['ECDH-ES'], contentEncryptionAlgorithms: ['A256GCM'] };
    return Buffer.from((await compactDecrypt(token, privateKey, options)).plaintext);
  } catch {
    return refuse('malformed', 'it cannot be opened');
  }
}

// --- §8: preamble ‖ LF ‖ ciphertext ---

export async function encrypt(seal, plaintext, record) {
  const line = canonical({ ...Object.fromEntries(PREAMBLE_MEMBERS.map((name) => [name, seal[name]])), v: 1 });
  const body = await (seal.suite === HPKE ? hpkeEncrypt : jweEncrypt)(line, plaintext, record);
  return Buffer.concat([line, Buffer.from('\n'), body]);
}

/** Step 3 of §11 for one item; nothing here is authenticated. */
export function takeApart(sealed) {
  const end = sealed.indexOf(10);
  demand(end >= 0, 'malformed', 'no line feed');
  const line = sealed.subarray(0, end);
  const ciphertext = sealed.subarray(end + 1);
  demand(ciphertext.length > 0, 'malformed', 'no ciphertext');
  return { line, preamble: readPreamble(line), ciphertext };
}

/** Steps 5 and 6 of §11. `keys`: suite → private key. */
export async function decrypt({ line, preamble, ciphertext }, keys) {
  const own = keys[preamble.suite];
  demand(own && own.kid === preamble.enc_kid, 'malformed', 'not to a key of ours');
  const open = preamble.suite === HPKE ? hpkeDecrypt : jweDecrypt;
  return unpack(await open(line, ciphertext, own.privateKey));
}
