// §4, §9, §12: the three JWS of the protocol. `jose` signs and verifies ES256; s is made and demanded low.
import { FlattenedSign, compactVerify, flattenedVerify } from 'jose';
import { ml_dsa65 } from '@noble/post-quantum/ml-dsa.js';
import { ecPublic, keysOf, TYPES } from './keys.mjs';
import { HPKE, JWE, PREAMBLE_MEMBERS } from './container.mjs';
import {
  among,
  b64u,
  closed,
  demand,
  hex,
  isCount,
  isDigest,
  isKid,
  isOrg,
  isText,
  isThumbprint,
  isUuid,
  isInstant,
  canonical,
  listOf,
  ordered,
  parseCanonical,
  parseExact,
  refuse,
  sameOrder,
  sha256,
  unb64u,
} from './spelling.mjs';

const N = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
const integer = (bytes) => BigInt(`0x${hex(bytes)}`);

function lowS(signature) {
  const s = integer(signature.subarray(32));
  const low = s > N / 2n ? N - s : s;
  return Buffer.concat([signature.subarray(0, 32), Buffer.from(low.toString(16).padStart(64, '0'), 'hex')]);
}

/** 64 bytes with r and s in 1…n−1 and s at most n/2, or the code. */
function demandLowS(text, code) {
  const signature = unb64u(text, code);
  demand(signature.length === 64, code, 'the length of a signature');
  const [r, s] = [integer(signature.subarray(0, 32)), integer(signature.subarray(32))];
  demand(r > 0n && r < N && s > 0n && s <= N / 2n, code, 'r or s out of range');
}

/** A detached compact JWS over the payload bytes as they are (RFC 7515 appendix F, RFC 7797). */
export async function signDetached(header, payload, privateKey) {
  const made = await new FlattenedSign(payload).setProtectedHeader(header).sign(privateKey);
  return `${made.protected}..${b64u(lowS(Buffer.from(made.signature, 'base64url')))}`;
}

function detachedParts(token, code = 'malformed') {
  const parts = token.split('.');
  demand(parts.length === 3 && parts[1] === '', code, 'no detached compact JWS');
  return { head: unb64u(parts[0], code), protectedHeader: parts[0], signature: parts[2] };
}

async function verifyDetached({ protectedHeader, signature }, payload, record, code) {
  demandLowS(signature, code);
  try {
    await flattenedVerify({ protected: protectedHeader, payload, signature }, ecPublic(record), {
      algorithms: ['ES256'],
    });
  } catch {
    refuse(code, 'the signature does not hold');
  }
}

// --- §4 agreements ---

const agreementHeader = (kid) => ({
  alg: 'ES256',
  kid,
  typ: 'ecluse-agreement+jws',
  crit: ['b64'],
  b64: false,
});
export const signTerms = (terms, kid, key) => signDetached(agreementHeader(kid), terms, key);

const names = listOf(isText);
const assurance = (value) =>
  closed(
    value,
    {
      end_to_end_encrypted: (v) => v === true,
      ordered: (v) => v === true,
      origin_signed: (v) => v === true,
      recall_ack: (v) => v === true,
      receipt: among('signed', 'fetched'),
      style: among('pull'),
    },
    'malformed',
    ['end_to_end_encrypted', 'ordered', 'origin_signed', 'recall_ack', 'receipt', 'style'],
  );
const PROTOCOL = {
  bodies: names,
  controllers: names,
  dpo_contacts: names,
  purposes: names,
  legal_basis: isText,
  restrictions_on_rights: isText,
};
const TERMS = {
  series: isText,
  version: isCount(1),
  parties: listOf(isOrg, 2, 2),
  recipient_kinds: (v) => typeof v === 'object',
  regime: among('BE-OCAM', 'BE-POLICE', 'BE-INTEL', 'SPOC'),
  route: among('police', 'intelligence', 'other'),
  legal_basis: isText,
  purposes: names,
  kinds: names,
  lifts: names,
  ceiling: (v) => closed(v, { policy: isText, level: isText }, 'malformed'),
  retention_days: isCount(1),
  onward: among('none', 'originator-consent'),
  suites: listOf(among(HPKE, JWE), 1, 1),
  signature_profiles: listOf(among('classic', 'hybrid'), 1, 1),
  formats: names,
  languages: names,
  not_before: isInstant,
  not_after: isInstant,
  protocol: (v) => closed(v, PROTOCOL, 'malformed'),
  minimum_assurance: assurance,
  bulk: (v) => closed(v, { records: isCount(1), days: isCount(1) }, 'malformed'),
};

export function readTerms(bytes) {
  const terms = closed(parseCanonical(bytes), TERMS, 'malformed', ['bulk']);
  demand(terms.parties[0] !== terms.parties[1], 'malformed', 'an agreement with itself');
  demand(terms.not_before < terms.not_after, 'malformed', 'no period');
  return terms;
}

/** Terms, their digest and who has validly signed them; `entries`: organisation → entry. */
export async function readAgreement(agreement, entries, now) {
  const bytes = unb64u(agreement.terms);
  const terms = readTerms(bytes);
  for (const party of terms.parties) demand(entries[party], 'wrong-audience', 'between others');
  for (const [org, token] of Object.entries(agreement.signatures)) {
    demand(terms.parties.includes(org), 'malformed', 'signed by a third');
    const parts = detachedParts(token, 'signature-invalid');
    const record = keysOf(entries[org], 'agreement', 'ES256', now).find((key) =>
      ordered(agreementHeader(key.kid)).equals(parts.head),
    );
    demand(record, 'signature-invalid', 'no such agreement key');
    await verifyDetached(parts, bytes, record, 'signature-invalid');
  }
  return { terms, sha256: hex(sha256(bytes)), signed: Object.keys(agreement.signatures) };
}

// --- §9 the seal ---

const SKEW = 300;
const LIFE = 2592000;
const TYPS = TYPES.map((type) => `ecluse-msg-${type}+jws`);
const SEAL = {
  alg: among('ES256'),
  kid: isKid,
  typ: among(...TYPS),
  cty: (v) => isText(v) && /^[a-z0-9][a-z0-9!#$&^_.+/-]{0,126}$/.test(v),
  crit: (v) => JSON.stringify(v) === '["b64"]',
  b64: (v) => v === false,
  'x5t#S256': isThumbprint,
  iat: isCount(0),
  exp: isCount(0),
  iss: isOrg,
  aud: isOrg,
  enc_kid: isKid,
  suite: among(HPKE, JWE),
  sig_profile: among('classic', 'hybrid'),
  jti: isUuid,
  conv: isUuid,
  seq: isCount(1),
  mode: among('operational', 'exercise', 'test'),
  agreement: isDigest,
  payload_sha256: isDigest,
  checkpoint: (v) => isText(v) && v.length >= 1 && [...v].length <= 8192,
};
const MOST_HEADER = 16384;

/** The seal's members in the order of §9.1. */
export const orderedSeal = (seal) => Object.fromEntries(Object.keys(SEAL).map((name) => [name, seal[name]]));

function readHeader(token, alg) {
  const parts = detachedParts(token);
  demand(parts.head.length <= MOST_HEADER, 'malformed', 'a seal too long');
  const seal = closed(parseExact(parts.head), { ...SEAL, alg: among(alg) }, 'malformed');
  demand(sameOrder(seal, Object.keys(SEAL)), 'malformed', 'members in another order');
  demand(seal.iat < seal.exp, 'malformed', 'it ends before it begins');
  unb64u(parts.signature);
  return { ...parts, seal };
}

/** Step 7 of §11, the part without the preamble. */
export const readSeal = (token) => readHeader(token, 'ES256');

export function samePreamble({ seal }, preamble) {
  for (const name of PREAMBLE_MEMBERS)
    demand(seal[name] === preamble[name], 'malformed', `preamble and seal differ in ${name}`);
}

export const sealClassic = (seal, payload, key) => signDetached(orderedSeal(seal), payload, key);

export async function sealHybrid(seal, payload, keys, record) {
  const first = await sealClassic(seal, payload, keys.message);
  const head = b64u(
    ordered(orderedSeal({ ...seal, alg: 'ML-DSA-65', kid: record.kid, 'x5t#S256': record.x5t })),
  );
  const signature = ml_dsa65.sign(signingInput(head, payload), keys.lattice.secretKey);
  return [first, `${head}..${b64u(signature)}`];
}

const signingInput = (head, payload) => Buffer.concat([Buffer.from(`${head}.`), payload]);

function recordFor(seal, entry, now) {
  const bad = (why) => refuse('signature-invalid', why);
  const record =
    keysOf(entry, 'message', seal.alg, now).find((key) => key.kid === seal.kid) ?? bad('no such message key');
  demand((record.typ ?? []).includes(seal.typ), 'signature-invalid', 'a key for other types');
  demand(record.x5t === seal['x5t#S256'], 'signature-invalid', 'another certificate');
  return record;
}

/** Steps 10 and 11 of §11: profile, digest, key, signatures, window. */
export async function verifySeal(first, secondToken, payload, { entry, profile, now }) {
  const { seal } = first;
  const code = 'signature-invalid';
  demand(seal.sig_profile === profile, 'outside-agreement', 'another profile');
  demand((secondToken !== '') === (profile === 'hybrid'), code, 'the second signature');
  const second = secondToken && readHeader(secondToken, 'ML-DSA-65');
  demand(seal.payload_sha256 === hex(sha256(payload)), code, 'the digest of the payload');
  await verifyDetached(first, payload, recordFor(seal, entry, now), code);
  if (second) {
    const expected = { ...seal, alg: 'ML-DSA-65', kid: second.seal.kid, 'x5t#S256': second.seal['x5t#S256'] };
    demand(ordered(expected).equals(second.head) && second.seal.kid !== seal.kid, code, 'the second header');
    const record = recordFor(second.seal, entry, now);
    const signature = unb64u(second.signature, code);
    demand(signature.length === 3309, code, 'the length of a signature');
    const holds = ml_dsa65.verify(
      signature,
      signingInput(second.protectedHeader, payload),
      unb64u(record.public),
    );
    demand(holds, code, 'the second signature does not hold');
  }
  const at = Math.floor(now / 1000);
  demand(
    seal.iat <= at + SKEW && at < seal.exp && seal.exp - seal.iat <= LIFE + 2 * SKEW,
    'replayed',
    'outside its window',
  );
}

// --- §12 receipts ---

const CODES = [
  'malformed',
  'schema-violation',
  'signature-invalid',
  'wrong-audience',
  'replayed',
  'out-of-order',
  'digest-conflict',
  'outside-agreement',
  'mis-sent',
];
const receiptHeader = (kid) => ({ alg: 'ES256', kid, typ: 'ecluse-receipt+jws' });

export async function signReceipt(statement, kid, key) {
  const made = await new FlattenedSign(canonical(statement)).setProtectedHeader(receiptHeader(kid)).sign(key);
  return `${made.protected}.${made.payload}.${b64u(lowS(Buffer.from(made.signature, 'base64url')))}`;
}

const isItem = (item) => {
  const forms = {
    id: isUuid,
    payload_sha256: isDigest,
    outcome: among('accepted', 'refused', 'not-processed'),
    code: among(...CODES),
    expected: isCount(1),
  };
  closed(item, forms, 'malformed', ['code', 'expected']);
  return (
    (item.outcome === 'refused') === 'code' in item && (item.code === 'out-of-order') === 'expected' in item
  );
};
const STATEMENT = {
  v: (v) => v === 1,
  id: isUuid,
  iss: isOrg,
  aud: isOrg,
  at: isInstant,
  items: listOf(isItem, 1, 64),
  checkpoint: (v) => isText(v) && [...v].length <= 8192,
};

/** What a sender verifies (§12); `sent`: message id → digest; `checkHead` verifies a head that is not empty. */
export async function verifyReceipt(token, { entry, us, sent, now, checkHead }) {
  const segments = token.split('.');
  demand(segments.length === 3, 'malformed', 'no compact JWS');
  const head = unb64u(segments[0]);
  const record = keysOf(entry, 'receipt', 'ES256', now).find((key) =>
    ordered(receiptHeader(key.kid)).equals(head),
  );
  demand(record, 'signature-invalid', 'no such receipt key');
  demandLowS(segments[2], 'signature-invalid');
  await compactVerify(token, ecPublic(record), { algorithms: ['ES256'] }).catch(() =>
    refuse('signature-invalid', 'the receipt'),
  );
  const raw = unb64u(segments[1]);
  demand(raw.length <= 65536, 'malformed', 'a statement too long');
  const statement = closed(parseCanonical(raw), STATEMENT, 'malformed');
  demand(
    new Set(statement.items.map((item) => item.id)).size === statement.items.length,
    'malformed',
    'a message twice',
  );
  demand(statement.iss === entry.org && statement.aud === us, 'wrong-audience', 'a receipt of others');
  demand(new Date(statement.at) <= now.valueOf() + SKEW * 1000, 'malformed', 'from the future');
  for (const [id, digest] of sent) {
    const item = statement.items.find((one) => one.id === id) ?? refuse('malformed', 'a message is missing');
    demand(item.payload_sha256 === digest, 'digest-conflict', 'other bytes than sent');
  }
  if (statement.checkpoint) checkHead(statement.checkpoint);
  return statement;
}
