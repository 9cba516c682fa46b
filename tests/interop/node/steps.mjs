// What the orchestrator asks for, one function a step. Each throws when the gateway does not do what the document says.
import { randomUUID } from 'node:crypto';
import { HPKE, JWE } from './container.mjs';
import { runVectors } from './vectors.mjs';
import { b64u, demand, sha256 } from './spelling.mjs';

const expect = (holds, what) => demand(holds, 'unexpected', what);
const outcomes = ({ statement }) => statement.items.map((item) => item.code ?? item.outcome).join();

/** A synthetic record about nobody, with the labels that go with it. */
export function disclosure(partner, changes = {}) {
  const label = {
    policy: 'BEL',
    level: 'UNCLASSIFIED',
    releasable_to: [partner.gateway.nation, partner.nation].sort(),
    originators: [partner.org],
    ...changes,
  };
  const record = {
    ref: `p-${sha256(randomUUID()).toString('hex').slice(0, 32)}`,
    category: { code: 'FTF', criterion: 'a' },
    names: [{ family: 'Zzemo', given: 'Exemple', quality: 'low', script: 'Latn', type: 'birth' }],
  };
  const handling = {
    regime: 'SPOC',
    route: 'police',
    purpose: 'ct-prevention',
    legal_basis: 'synthetic',
    retention_until: '2099-12-31',
    onward: 'none',
  };
  return {
    label,
    handling,
    manifest: { records: [{ part: '/records/0', kind: 'bdc-person/1.0' }], attachments: [] },
    records: [record],
    labels: [{ part: '/records/0', label }],
  };
}

export const sending = {
  /** A question about nothing: the TLS identity counts, and so does the entry behind it. */
  async knock(partner) {
    const nobody = await partner.client.receipt(randomUUID());
    expect(nobody.status === 404 && nobody.body.length === 0, 'a receipt of nothing');
    return {};
  },

  /** A disclosure alone: accepted, and its receipt again from GET. */
  async single(partner) {
    const message = await partner.make({ type: 'disclosure', content: disclosure(partner) });
    const sent = await partner.send([message]);
    expect(outcomes(sent) === 'accepted', outcomes(sent));
    const stored = await partner.client.receipt(message.id);
    expect(
      stored.status === 200 && stored.body.toString('latin1') === sent.receipt,
      'the stored receipt is another',
    );
    return { ids: [message.id], receipt: sent.statement.id, bytes: sent.sealed[0].length };
  },

  /** The same POST, then the same seal sealed anew, give the first receipt byte for byte. */
  async duplicate(partner) {
    const message = await partner.make();
    const sent = await partner.send([message]);
    const again = await partner.send([message], sent.sealed);
    const anew = await partner.send([message]);
    expect(outcomes(sent) === 'accepted', outcomes(sent));
    expect(
      again.receipt === sent.receipt && anew.receipt === sent.receipt,
      'another receipt for the same message',
    );
    expect(!anew.sealed[0].equals(sent.sealed[0]), 'the ciphertext was not made anew');
    return { ids: [message.id], receipt: sent.statement.id };
  },

  /** Fifty messages of ten conversations in one POST. */
  async batch(partner, { count = 50 }) {
    const lanes = Array.from({ length: 10 }, () => randomUUID());
    const messages = [];
    for (let i = 0; i < count; i += 1) {
      messages.push(
        await partner.make({
          type: i % 2 ? 'status' : 'disclosure',
          conv: lanes[i % 10],
          seq: 1 + Math.floor(i / 10),
          content: i % 2 ? {} : disclosure(partner),
        }),
      );
    }
    const sent = await partner.send(messages);
    expect(
      sent.statement.items.every((item, i) => item.outcome === 'accepted' && item.id === messages[i].id),
      outcomes(sent),
    );
    return { ids: messages.map(({ id }) => id), receipt: sent.statement.id };
  },

  /** §20.5 and §20.6: 1, 3 and another conversation in one POST; rewind; a void for a withdrawn number. */
  async order(partner) {
    const conv = randomUUID();
    const [one, three] = [await partner.make({ conv }), await partner.make({ conv, seq: 3 })];
    const [four, other] = [await partner.make({ conv, seq: 4 }), await partner.make()];
    const gap = await partner.send([one, three, four, other]);
    expect(outcomes(gap) === 'accepted,out-of-order,not-processed,accepted', outcomes(gap));
    expect(gap.statement.items[1].expected === 2, 'another number is expected');
    const two = await partner.make({ conv, seq: 2, type: 'void' });
    const rest = await partner.send([two, three, four]);
    expect(outcomes(rest) === 'accepted,accepted,accepted', outcomes(rest));
    return { ids: [one, two, three, four, other].map(({ id }) => id) };
  },

  /** A recall of a message that was accepted, and one that arrives before the message that it is about. */
  async recall(partner) {
    const say = (recalls, more) => partner.make({ type: 'recall', content: { recalls, ...more } });
    const [known, later] = [await partner.make(), await partner.make()];
    const first = await partner.send([known]);
    const [withdrawn, replaced] = [
      await say(known.id, { action: 'withdrawn' }),
      await say(later.id, { action: 'replaced', replaced_by: known.id }),
    ];
    const said = await partner.send([withdrawn, replaced]);
    const last = await partner.send([later]);
    expect(
      [first, said, last].map(outcomes).join() === 'accepted,accepted,accepted,accepted',
      [first, said, last].map(outcomes).join(),
    );
    return {
      ids: [known, withdrawn, replaced, later].map(({ id }) => id),
      recalled: { [known.id]: 'withdrawn', [later.id]: 'replaced' },
    };
  },
};

const flip = (bytes, at) => {
  const other = Buffer.from(bytes);
  other[at < 0 ? other.length + at : at] ^= 1;
  return other;
};
const N = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
const resigned = (token, change) => {
  const [head, , signature] = token.split('.');
  return `${head}..${b64u(change(Buffer.from(signature, 'base64url')))}`;
};
const highS = (signature) => {
  const s = N - BigInt(`0x${signature.subarray(32).toString('hex')}`);
  return Buffer.concat([signature.subarray(0, 32), Buffer.from(s.toString(16).padStart(64, '0'), 'hex')]);
};

/** A message that is wrong in one way each; what the document says of it. `seq` stays unused in each. */
const spoiled = {
  'signature-invalid, a bit of the signature': async (partner, lane) => {
    const message = await partner.make(lane);
    return { ...message, first: resigned(message.first, (signature) => flip(signature, 5)) };
  },
  'signature-invalid, the high s': async (partner, lane) => {
    const message = await partner.make(lane);
    return { ...message, first: resigned(message.first, highS) };
  },
  'signature-invalid, a head of another log': (partner, lane) =>
    partner.make({ ...lane, head: partner.log.head().replace('/partner/', '/partner/x') }),
  'signature-invalid, the digest of another payload': (partner, lane) =>
    partner.make({ ...lane, changes: { payload_sha256: '0'.repeat(64) } }),
  'outside-agreement, the other suite': (partner, lane) =>
    partner.make({ ...lane, changes: { suite: partner.suite === HPKE ? JWE : HPKE } }),
  'outside-agreement, the other profile': (partner, lane) =>
    partner.make({ ...lane, changes: { sig_profile: partner.profile === 'hybrid' ? 'classic' : 'hybrid' } }),
  'outside-agreement, another agreement': (partner, lane) =>
    partner.make({ ...lane, changes: { agreement: '0'.repeat(64) } }),
  'replayed, expired': (partner, lane) =>
    partner.make({ ...lane, changes: { iat: 1700000000, exp: 1700000001 } }),
  'wrong-audience, another mode': (partner, lane) =>
    partner.make({ ...lane, changes: { mode: 'operational' } }),
  'schema-violation, a recall of nothing': (partner, lane) => partner.make({ ...lane, type: 'recall' }),
  'schema-violation, an unknown member': (partner, lane) =>
    partner.make({ ...lane, content: { extra: true } }),
  'mis-sent, releasable to others': (partner, lane) =>
    partner.make({ ...lane, type: 'disclosure', content: disclosure(partner, { releasable_to: ['ESP'] }) }),
  'outside-agreement, above the ceiling': (partner, lane) =>
    partner.make({ ...lane, type: 'disclosure', content: disclosure(partner, { level: 'SECRET' }) }),
};

/** A POST that is refused as a whole: code and the change. */
const broken = {
  'malformed, a bit of the ciphertext': async (partner) => [
    flip(await partner.wrap(await partner.make()), -1),
  ],
  'malformed, one message twice': async (partner) => {
    const message = await partner.make();
    return [await partner.wrap(message), await partner.wrap(message)];
  },
  'malformed, bytes after the last': async (partner) => {
    const item = await partner.wrap(await partner.make());
    const size = Buffer.alloc(4);
    size.writeUInt32BE(item.length);
    return Buffer.concat([size, item, Buffer.from([0])]);
  },
  'malformed, a larger padding': async (partner) => {
    const message = await partner.make();
    return [Buffer.concat([await partner.wrap(message), Buffer.alloc(1)])];
  },
  'replayed, in the name of another': async (partner) => [
    await partner.wrap(await partner.make({ changes: { iss: 'nld.other-demo' } })),
  ],
  'wrong-audience, to another': async (partner) => [
    await partner.wrap(await partner.make({ changes: { aud: 'nld.other-demo' } })),
  ],
};

export const hostile = {
  /** Each spoiled message gets its documented code, and leaves no mark: the same number is still the next. */
  async messages(partner) {
    const lane = { conv: randomUUID(), seq: 1 };
    const seen = {};
    for (const [name, spoil] of Object.entries(spoiled)) {
      const sent = await partner.send([await spoil(partner, lane)]);
      seen[name] = outcomes(sent);
      expect(name.startsWith(`${seen[name]},`), `${name}: ${seen[name]}`);
    }
    const good = await partner.make(lane);
    const sent = await partner.send([good]);
    expect(outcomes(sent) === 'accepted', `after all: ${outcomes(sent)}`);
    const other = await partner.make({ ...lane, id: good.id, seq: 2, content: {}, type: 'status' });
    const conflict = await partner.send([other]);
    expect(outcomes(conflict) === 'digest-conflict', `a known id: ${outcomes(conflict)}`);
    return { ids: [good.id], cases: Object.keys(seen).length + 1 };
  },

  /** Each broken POST is refused with its code and nothing more. */
  async posts(partner) {
    const problem = (name, answer, code, status) => {
      const text = answer.body.toString('utf8');
      expect(answer.status === status, `${name}: ${answer.status} ${text}`);
      if (!code) return expect(text === '', `${name}: a body`);
      expect(answer.type === 'application/problem+json', `${name}: ${answer.type}`);
      return expect(
        text === JSON.stringify({ type: `urn:ecluse:problem:${code}`, title: code, status }),
        `${name}: ${text}`,
      );
    };
    for (const [name, make] of Object.entries(broken)) {
      const [code] = name.split(',');
      problem(name, await partner.client.post(await make(partner)), code, code === 'malformed' ? 400 : 403);
    }
    const item = [await partner.wrap(await partner.make())];
    problem(
      'media type',
      await partner.client.post(item, { headers: { 'Content-Type': 'application/json' } }),
      'malformed',
      400,
    );
    problem(
      'encoded',
      await partner.client.post(item, { headers: { 'Content-Encoding': 'gzip' }, tls: {} }),
      'malformed',
      400,
    );
    const ask = (options) => partner.client.ask({ tls: {}, ...options });
    problem(
      'chunks',
      await ask({
        method: 'POST',
        path: '/exchange/v1/messages',
        headers: { 'Content-Type': 'application/vnd.ecluse.sealed-batch', 'Transfer-Encoding': 'chunked' },
        body: Buffer.from('x'),
      }),
      'length-required',
      411,
    );
    problem(
      'expectation',
      await partner.client.post(item, { headers: { Expect: '100-continue' }, tls: {} }),
      '',
      417,
    );
    problem('path', await ask({ path: '/exchange/v2/messages' }), '', 404);
    problem(
      'method',
      await ask({ method: 'PUT', path: '/exchange/v1/messages', headers: { 'Content-Length': 0 } }),
      '',
      405,
    );
    return { cases: Object.keys(broken).length + 6 };
  },

  /** §20.2: no HTTP answer without the right handshake and certificate. */
  async tls(partner) {
    const attempts = {
      'TLS 1.2': { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES256-GCM-SHA384' },
      'another cipher suite': { ciphers: 'TLS_AES_128_GCM_SHA256' },
      'another group': { ecdhCurve: 'P-521' },
      'no certificate': { cert: undefined, key: undefined },
      'a certificate for messages': partner.identity('message'),
      'a certificate of a server': partner.identity('tls-server'),
    };
    for (const [name, tls] of Object.entries(attempts)) {
      const answer = await partner.client.ask({ path: '/', tls }).catch(() => undefined);
      expect(answer === undefined, `${name}: an answer`);
    }
    return { cases: Object.keys(attempts).length };
  },
};

export const receiving = {
  /** The next messages are refused with these codes; the next POSTs meet this trouble. */
  async script(partner, { refuse = [], trouble = [] }) {
    partner.receiver.refusing.push(...refuse);
    partner.listener.trouble.push(...trouble);
    return {};
  },

  /** What arrived since the last time that this was asked. */
  async received(partner) {
    const items = partner.receiver.received.splice(0);
    return {
      items,
      alarms: partner.heads.alarms.length,
      refused_connections: partner.listener.refusedConnections,
    };
  },
};

export const vectors = async (_partner, { folder }) => runVectors(folder);
