// §14 the log about a partner: entries, Merkle root (RFC 9162 §2.1) and signed heads (C2SP signed-note).
import { randomBytes, sign, verify } from 'node:crypto';
import { edPublic, keysOf } from './keys.mjs';
import { b64u, canonical, demand, hex, refuse, sha256, unb64u } from './spelling.mjs';

const leafHash = (entry) => sha256(Buffer.from([0]), entry);

/** A log in memory: complete subtrees only, so that appending and the root stay cheap. */
export class Log {
  #hashes = [];

  constructor(us, them, key) {
    Object.assign(this, { us, them, key });
  }

  get size() {
    return this.#hashes.length;
  }

  append({ at, dir, event, conv, id, seq, type, content }) {
    const body = sha256('ecluse/body/1\n', randomBytes(32), sha256(content));
    const master = sha256('ecluse/master/1\n', randomBytes(32)); // no master log here: it commits to nothing
    const entry = {
      at,
      blind: b64u(randomBytes(32)),
      body: hex(body),
      conv,
      dir,
      event,
      id,
      master: hex(master),
      seq,
      type,
      v: 1,
    };
    this.#hashes.push(leafHash(canonical(entry)));
  }

  #root(from, to) {
    if (to - from === 1) return this.#hashes[from];
    let split = 1;
    while (split * 2 < to - from) split *= 2;
    return sha256(Buffer.from([1]), this.#root(from, from + split), this.#root(from + split, to));
  }

  /** The signed head, as it stands in a seal or receipt; empty before the first entry. */
  head() {
    if (this.size === 0) return '';
    const root = this.#root(0, this.size).toString('base64');
    const body = `ecluse/${this.us}/partner/${this.them}\n${this.size}\n${root}\n`;
    const { name, id } = keyName(this.us, this.key.public);
    const signature = sign(null, Buffer.from(body), this.key.privateKey);
    return `${body}\n— ${name} ${Buffer.concat([id, signature]).toString('base64')}\n`;
  }
}

function keyName(org, raw) {
  const name = `ecluse/${org}`;
  return { name, id: sha256(`${name}\n`, Buffer.from([1]), raw).subarray(0, 4) };
}

function unb64(text) {
  const bytes = Buffer.from(text, 'base64');
  demand(bytes.toString('base64') === text, 'signature-invalid', 'not base64');
  return bytes;
}

/** Verify a head of `entry`'s log about `us`; gives its size and root. */
export function verifyHead(note, entry, us, now) {
  const bad = (why) => refuse('signature-invalid', why);
  const match =
    /^([^\n]+)\n(0|[1-9][0-9]{0,15})\n([^\n]+)\n\n((?:[^\n]+\n)+)$/.exec(note) ?? bad('no signed head');
  const [, origin, size, root, signatures] = match;
  demand(origin === `ecluse/${entry.org}/partner/${us}`, 'signature-invalid', 'the head of another log');
  demand(unb64(root).length === 32, 'signature-invalid', 'the size of the root');
  const signed = Buffer.from(`${origin}\n${size}\n${root}\n`);
  const lines = signatures.slice(0, -1).split('\n');
  demand(lines.length <= 32, 'signature-invalid', 'too many signatures');
  const known = keysOf(entry, 'log', 'Ed25519', now).map((key) => ({
    ...keyName(entry.org, unb64u(key.public)),
    key: edPublic(key),
  }));
  let held = 0;
  for (const line of lines) {
    const [, name, text] = /^— (\S+) (\S+)$/u.exec(line) ?? bad('no signature line');
    const raw = unb64(text);
    const own = known.find((one) => one.name === name && one.id.equals(raw.subarray(0, 4)));
    if (!own) continue;
    demand(verify(null, signed, own.key, raw.subarray(4)), 'signature-invalid', 'the signature of a head');
    held += 1;
  }
  demand(held > 0, 'signature-invalid', 'no signature of the owner');
  return { origin, size: Number(size), root };
}

/** The heads seen of one partner: two roots of one size are kept, both, and are an alarm (§14). */
export class Heads {
  #seen = new Map();
  alarms = [];

  keep(head) {
    const other = this.#seen.get(head.size);
    if (other && other.root !== head.root) this.alarms.push([other, head]);
    else this.#seen.set(head.size, head);
  }
}
