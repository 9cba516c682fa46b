// §3 Keys, records and the directory entry; certificate requests (PKCS#10) for an authority to answer.
import {
  X509Certificate,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  randomBytes,
  sign,
} from 'node:crypto';
import { ml_dsa65 } from '@noble/post-quantum/ml-dsa.js';
import { HPKE, JWE, hpkeKey } from './container.mjs';
import { b64u, instant, sha256, unb64u } from './spelling.mjs';

export const TYPES = [
  'disclosure',
  'request',
  'clarification',
  'answer',
  'consent-request',
  'emergency',
  'no-information',
  'refusal',
  'delay',
  'recall',
  'correction',
  'consent-answer',
  'agreement',
  'partner-update',
  'status',
  'ping',
  'checkpoint',
  'void',
];

export const spkiOf = (key) =>
  (key.type === 'private' ? createPublicKey(key) : key).export({ format: 'der', type: 'spki' });
export const ecPublic = (record) =>
  createPublicKey({ key: unb64u(record.public), format: 'der', type: 'spki' });
const ED25519_SPKI = Buffer.from('302a300506032b6570032100', 'hex');
export const edPublic = (record) =>
  createPublicKey({ key: Buffer.concat([ED25519_SPKI, unb64u(record.public)]), format: 'der', type: 'spki' });
const ML_DSA_65 = Buffer.from('300b0609608648016503040312', 'hex'); // AlgorithmIdentifier, RFC 9881 §2
const ECDSA_SHA256 = Buffer.from('300a06082a8648ce3d040302', 'hex'); // RFC 5758 §3.2

/** A P-256 private key from its scalar: SEC 1 with named curve, public point derived by the library. */
export function ecPrivate(scalar) {
  const raw = Buffer.concat([
    Buffer.from('30310201010420', 'hex'),
    scalar,
    Buffer.from('a00a06082a8648ce3d030107', 'hex'),
  ]);
  return createPrivateKey({ key: raw, format: 'der', type: 'sec1' });
}
const ecKey = () => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;

// --- PKCS#10 (RFC 2986), by hand: the runtime makes none ---

function der(tag, ...contents) {
  const content = Buffer.concat(contents);
  const { length } = content;
  const size = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255];
  return Buffer.concat([Buffer.from([tag, ...size]), content]);
}
const bits = (bytes) => der(3, Buffer.from([0]), bytes);

function request(commonName, spki, algorithm, signer) {
  const name = der(
    0x30,
    der(0x31, der(0x30, Buffer.from('0603550403', 'hex'), der(12, Buffer.from(commonName)))),
  );
  const info = der(0x30, Buffer.from('020100', 'hex'), name, spki, der(0xa0));
  const body = der(0x30, info, algorithm, bits(signer(info))).toString('base64');
  return `-----BEGIN CERTIFICATE REQUEST-----\n${body.match(/.{1,64}/g).join('\n')}\n-----END CERTIFICATE REQUEST-----\n`;
}

/** All keys of one partner, in memory only, and the requests of those that need a certificate. */
export async function makeKeys(org) {
  const keys = Object.fromEntries(
    ['tls-server', 'tls-client', 'message', 'receipt', 'agreement'].map((use) => [use, ecKey()]),
  );
  const seed = randomBytes(32);
  const lattice = ml_dsa65.keygen(seed);
  const requests = Object.fromEntries(
    ['tls-server', 'tls-client', 'message', 'receipt'].map((use) => [
      use,
      request(`${org} ${use}`, spkiOf(keys[use]), ECDSA_SHA256, (info) => sign('sha256', info, keys[use])),
    ]),
  );
  const latticeSpki = der(0x30, ML_DSA_65, bits(lattice.publicKey));
  requests['message-pq'] = request(`${org} message-pq`, latticeSpki, ML_DSA_65, (info) =>
    Buffer.from(ml_dsa65.sign(info, lattice.secretKey)),
  );
  return {
    requests,
    keys: {
      ...keys,
      lattice,
      log: generateKeyPairSync('ed25519').privateKey,
      [HPKE]: await hpkeKey(),
      [JWE]: { privateKey: ecKey() },
    },
  };
}

const STATED = {
  end_to_end_encrypted: true,
  ordered: true,
  origin_signed: true,
  recall_ack: true,
  receipt: 'signed',
};

/** The entry as of §3; `certificates`: name → PEM. Key ids are ours to choose. */
export function makeEntry({ org, nation, name, endpoint, keys, certificates }) {
  const record = (id, use, alg, publicKey, more = {}) => ({
    kid: `${org}/${id}`,
    use,
    alg,
    public: publicKey,
    ...more,
  });
  const certified = (file) => {
    const { raw } = new X509Certificate(certificates[file]);
    return { certificate: b64u(raw), x5t: b64u(sha256(raw)) };
  };
  const es256 = (use, more) => record(use, use, 'ES256', b64u(spkiOf(keys[use])), more);
  const types = TYPES.map((type) => `ecluse-msg-${type}+jws`);
  return {
    org,
    nation,
    name,
    recipient_kind: 'police',
    keys: [
      es256('tls-server', certified('tls-server')),
      es256('tls-client', certified('tls-client')),
      es256('message', { typ: types, ...certified('message') }),
      record('message-pq', 'message', 'ML-DSA-65', b64u(keys.lattice.publicKey), {
        typ: types,
        ...certified('message-pq'),
      }),
      es256('receipt', { typ: ['ecluse-receipt+jws'], ...certified('receipt') }),
      record('hpke', 'encryption', HPKE, keys[HPKE].public),
      record('jwe', 'encryption', JWE, b64u(spkiOf(keys[JWE].privateKey))),
      record('log', 'log', 'Ed25519', b64u(spkiOf(keys.log).subarray(ED25519_SPKI.length))),
      es256('agreement', { typ: ['ecluse-agreement+jws'] }),
    ],
    endpoint,
    tls_name: 'localhost',
    formats: ['ct-exchange-json/1.0'],
    languages: ['fr', 'en'],
    assurance: STATED,
  };
}

/** Key records of one use and algorithm that count at `now` (a Date), in the order of the entry. */
export function keysOf(entry, use, alg, now) {
  const at = instant(now);
  return entry.keys.filter(
    (key) =>
      key.use === use &&
      key.alg === alg &&
      !key.revoked &&
      (!key.not_before || key.not_before <= at) &&
      (!key.not_after || at < key.not_after),
  );
}
