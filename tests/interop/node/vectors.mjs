// §20.1: every case of tests/vectors/protocol, judged by this partner's own receiver.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { HPKE, JWE, hpkeKey, readPreamble, splitBatch, unpack } from './container.mjs';
import { readAgreement, readSeal, verifyReceipt, verifySeal } from './jws.mjs';
import { ecPrivate } from './keys.mjs';
import { verifyHead } from './log.mjs';
import { readPayload } from './payload.mjs';
import { openItem, verifyMessage } from './receiver.mjs';
import { Refusal, demand } from './spelling.mjs';

const N = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
const scalar = (seed) =>
  Buffer.from(((BigInt(`0x${seed}`) % (N - 1n)) + 1n).toString(16).padStart(64, '0'), 'hex');
const bytesOf = (pieces) =>
  Buffer.concat(
    pieces.map((piece) =>
      typeof piece === 'number' ? Buffer.alloc(piece) : Buffer.from(piece, 'base64url'),
    ),
  );

/** Files whose codes are normative for a peer; of the others it is acceptance that counts (§4, §12: nothing is answered). */
const CODED = ['batches', 'plaintexts', 'preambles', 'checkpoints', 'payloads', 'seals', 'sealed'];

export async function runVectors(folder) {
  const load = (name) => JSON.parse(readFileSync(join(folder, `${name}.json`), 'utf8'));
  const world = load('world');
  const now = new Date(world.now);
  const { sender, recipient } = world;
  const seed = (name) => world.private_seeds[`${recipient.org}/${name}`];
  const keys = {
    [HPKE]: { ...(await hpkeKey(Buffer.from(seed('hpke'), 'hex'))), kid: `${recipient.org}/hpke` },
    [JWE]: { privateKey: ecPrivate(scalar(seed('jwe'))), kid: `${recipient.org}/jwe` },
  };
  const entries = { [sender.org]: sender, [recipient.org]: recipient };
  const agreements = {};
  for (const [name, one] of Object.entries(world.agreements))
    agreements[name] = await readAgreement(one, entries, now);
  const judges = {
    batches: (c) => splitBatch(bytesOf(c.body)),
    plaintexts: (c) => unpack(bytesOf(c.plaintext)),
    preambles: (c) => readPreamble(Buffer.from(c.line, 'base64url')),
    checkpoints: (c) => verifyHead(c.note, sender, recipient.org, now),
    payloads: (c) =>
      readPayload(c.text === undefined ? Buffer.from(c.bytes, 'base64url') : Buffer.from(c.text)),
    agreements: async (c) => {
      const read = await readAgreement(c.agreement, entries, now);
      demand(read.signed.sort().join() === [...c.signed].sort().join(), 'malformed', 'who has signed');
    },
    receipts: (c) =>
      verifyReceipt(c.jws, {
        entry: recipient,
        us: sender.org,
        sent: c.sent,
        now,
        checkHead: (note) => verifyHead(note, recipient, sender.org, now),
      }),
    seals: (c) =>
      verifySeal(readSeal(c.jws), c.second, Buffer.from(c.payload), {
        entry: sender,
        profile: agreements[c.agreement].terms.signature_profiles[0],
        now,
      }),
    sealed: async (c) => {
      const message = await openItem(Buffer.from(c.sealed, 'base64url'), {
        from: c.from,
        us: recipient,
        keys,
      });
      const known = c.known?.[message.first.seal.jti];
      if (known === message.digest) return;
      demand(known === undefined, 'digest-conflict', 'a known id with other bytes');
      await verifyMessage(message, {
        entry: sender,
        us: recipient,
        mode: 'operational',
        agreement: agreements[c.agreement],
        now,
        next: c.next_seq,
      });
    },
  };
  const counts = {};
  const differ = [];
  for (const [file, judge] of Object.entries(judges)) {
    const { cases } = load(file);
    counts[file] = 0;
    for (const one of cases) {
      let code = 'accept';
      try {
        await judge(one);
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        code = error.code;
      }
      const agrees = CODED.includes(file)
        ? code === one.expect
        : (code === 'accept') === (one.expect === 'accept');
      if (agrees) counts[file] += 1;
      else differ.push({ file, case: one.name, expect: one.expect, is: code });
    }
  }
  return { agree: counts, differ };
}
