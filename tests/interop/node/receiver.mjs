// §11 Receiving, in its order. Conversations, accepted messages and receipts are kept in memory: durability is not what is tried here.
import { randomUUID } from 'node:crypto';
import { decrypt, splitBatch, takeApart } from './container.mjs';
import { readSeal, samePreamble, signReceipt, verifySeal } from './jws.mjs';
import { verifyHead } from './log.mjs';
import { dominates, isPlain, rank, readPayload, releases } from './payload.mjs';
import { Refusal, demand, hex, instant, sha256 } from './spelling.mjs';

/** Steps 10 to 19 for one message; `next` is the number its lane expects. Gives the head in the seal, and what the message says. */
export async function verifyMessage({ first, second, payload }, { entry, us, mode, agreement, now, next }) {
  demand(agreement, 'outside-agreement', 'no agreement'); // step 10
  const { terms } = agreement;
  await verifySeal(first, second, payload, { entry, profile: terms.signature_profiles[0], now }); // 10, 11
  const { seal } = first;
  const message = readPayload(payload); // 12
  demand(seal.agreement === agreement.sha256, 'outside-agreement', 'another agreement'); // 13
  demand(
    seal.aud === us.org && message.to === us.org && seal.mode === mode && message.mode === mode,
    'wrong-audience',
    'not for us',
  ); // 14
  const same =
    message.message_id === seal.jti && message.conversation === seal.conv && message.from === seal.iss;
  demand(
    same && `ecluse-msg-${message.type}+jws` === seal.typ && seal.cty === 'application/json',
    'schema-violation',
    'envelope and seal differ',
  );
  const labels =
    message.type === 'disclosure' ? [message.label, ...message.labels.map((item) => item.label)] : [];
  labels.forEach(rank); // 15
  for (const label of labels) demand(releases(label, us), 'mis-sent', 'not released to us');
  for (const label of labels.slice(1))
    demand(dominates(message.label, label), 'schema-violation', 'a label lower than a part');
  const at = instant(now); // 16
  const agreed = (holds, why) => demand(holds, 'outside-agreement', why);
  agreed(terms.not_before <= at && at < terms.not_after, 'its period');
  agreed(terms.suites[0] === seal.suite, 'another suite');
  agreed(isPlain(message.type) || terms.formats.includes(message.format), 'another format');
  if (message.type === 'disclosure') {
    agreed(terms.purposes.includes(message.handling.purpose), 'another purpose');
    agreed(
      message.manifest.records.every(({ kind }) => terms.kinds.includes(kind)),
      'another kind',
    );
    for (const label of labels) agreed(rank(label) <= rank(terms.ceiling), 'above the ceiling');
  }
  const head = verifyHead(seal.checkpoint, entry, us.org, now); // 17
  if (seal.seq !== next) throw Object.assign(new Refusal('out-of-order', 'not the next'), { expected: next }); // 18
  demand(head.size >= seal.seq, 'signature-invalid', 'a head that cannot cover its number'); // 19
  return { head, message };
}

/** Steps 3 to 7 for one item. */
export async function openItem(item, { from, us, keys }) {
  const parts = takeApart(item); // 3
  demand(parts.preamble.iss === from, 'replayed', 'in the name of another'); // 4
  demand(parts.preamble.aud === us.org, 'wrong-audience', 'to somebody else');
  const { first, second, payload } = await decrypt(parts, keys); // 5, 6
  const seal = readSeal(first); // 7
  samePreamble(seal, parts.preamble);
  return { first: seal, second, payload, bytes: item.length, digest: hex(sha256(payload)) };
}

export class Receiver {
  accepted = new Map(); // message id → { digest, receipt }
  received = []; // what happened, in order; no content
  #next = new Map(); // conversation → number
  #receipts = new Map(); // ids and digests of a batch → receipt
  #posts = 0;
  refusing = []; // codes with which the next messages are refused, whatever they are

  constructor(partner) {
    this.partner = partner;
  }

  /** One POST of the organisation `from`; gives the receipt. Throws a Refusal of the POST as a whole. */
  async post(body, from) {
    const { partner } = this;
    this.#posts += 1;
    const keys = partner.ownKeys();
    const items = [];
    for (const item of splitBatch(body)) items.push(await openItem(item, { from, us: partner, keys }));
    demand(
      new Set(items.map(({ first }) => first.seal.jti)).size === items.length,
      'malformed',
      'a message twice',
    ); // 8
    const name = items.map(({ first, digest }) => `${first.seal.jti} ${digest}`).join();
    if (this.#receipts.has(name)) {
      for (const item of items)
        this.#note({ id: item.first.seal.jti, outcome: 'accepted' }, this.#fact(item));
      return this.#receipts.get(name);
    }
    const stopped = new Set();
    const outcomes = [];
    for (const item of items) outcomes.push(await this.#outcome(item, stopped));
    const now = new Date();
    const statement = {
      v: 1,
      id: randomUUID(),
      iss: partner.org,
      aud: from,
      at: instant(now),
      items: outcomes,
      checkpoint: partner.log.head(),
    };
    const receipt = await signReceipt(statement, `${partner.org}/receipt`, partner.keys.receipt);
    partner.log.append({
      at: statement.at,
      dir: 'out',
      event: 'receipt',
      conv: statement.id,
      id: statement.id,
      seq: items.length,
      type: 'receipt',
      content: receipt,
    });
    for (const { id, outcome } of outcomes)
      if (outcome === 'accepted') this.accepted.get(id).receipt ??= receipt;
    if (outcomes.every(({ outcome }) => outcome === 'accepted')) this.#receipts.set(name, receipt);
    return receipt;
  }

  async #outcome(item, stopped) {
    const { partner } = this;
    const { seal } = item.first;
    const named = { id: seal.jti, payload_sha256: item.digest };
    const fact = this.#fact(item);
    const known = this.accepted.get(seal.jti); // 9
    if (known?.digest === item.digest) return this.#note({ ...named, outcome: 'accepted' }, fact);
    if (stopped.has(seal.conv)) return this.#note({ ...named, outcome: 'not-processed' }, fact);
    try {
      demand(!known, 'digest-conflict', 'a known id with other bytes');
      const next = this.#next.get(seal.conv) ?? 1;
      const now = new Date();
      const { head, message } = await verifyMessage(item, {
        entry: partner.gateway,
        us: partner,
        mode: partner.mode,
        agreement: partner.agreement,
        now,
        next,
      });
      demand(this.refusing.length === 0, this.refusing.shift(), 'as told');
      this.#next.set(seal.conv, next + 1);
      this.accepted.set(seal.jti, { digest: item.digest });
      partner.heads.keep(head);
      const type = seal.typ.slice('ecluse-msg-'.length, -'+jws'.length);
      partner.log.append({
        at: instant(now),
        dir: 'in',
        event: 'message',
        conv: seal.conv,
        id: seal.jti,
        seq: seal.seq,
        type,
        content: item.payload,
      });
      return this.#note(
        { ...named, outcome: 'accepted' },
        { ...fact, recalls: message.recalls, action: message.action },
      );
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      stopped.add(seal.conv);
      const expected = error.code === 'out-of-order' ? { expected: error.expected } : {};
      return this.#note(
        { ...named, outcome: 'refused', code: error.code, ...expected },
        { ...fact, why: error.message },
      );
    }
  }

  #fact({ first: { seal }, bytes }) {
    return { seq: seal.seq, type: seal.typ, conv: seal.conv, bytes, post: this.#posts };
  }

  #note(outcome, fact) {
    this.received.push({ ...outcome, ...fact });
    return outcome;
  }
}
