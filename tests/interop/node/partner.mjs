// One organisation of this kind: its keys, its log, its lanes, and what it can send. §13's order of work is `make`.
import { randomUUID } from 'node:crypto';
import { HPKE, JWE, encrypt, pack } from './container.mjs';
import { keysOf, makeEntry, makeKeys, spkiOf } from './keys.mjs';
import { readAgreement, sealClassic, sealHybrid, signTerms, verifyReceipt } from './jws.mjs';
import { Heads, Log, verifyHead } from './log.mjs';
import { Receiver } from './receiver.mjs';
import { RECEIPT, Client, Listener } from './wire.mjs';
import { b64u, canonical, demand, hex, instant, ordered, sha256 } from './spelling.mjs';

const LIFE = 86400; // seconds from sealing to `exp`
const FORMAT = 'ct-exchange-json/1.0';

export class Partner {
  static async found({ org, name, gateway, mode }) {
    const made = new Partner();
    const { keys, requests } = await makeKeys(org);
    Object.assign(made, {
      org,
      nation: org.slice(0, 3).toUpperCase(),
      name,
      them: gateway,
      mode,
      keys,
      requests,
    });
    made.heads = new Heads();
    const key = { privateKey: keys.log, public: spkiOf(keys.log).subarray(12) };
    made.log = new Log(org, gateway, key);
    return made;
  }

  describe({ port, certificates }) {
    this.certificates = certificates;
    this.entry = makeEntry({
      org: this.org,
      nation: this.nation,
      name: this.name,
      endpoint: `https://127.0.0.1:${port}`,
      keys: this.keys,
      certificates,
    });
    this.port = port;
    return canonical(this.entry);
  }

  async agree(terms) {
    const raw = canonical(terms);
    return {
      terms: b64u(raw),
      signatures: { [this.org]: await signTerms(raw, `${this.org}/agreement`, this.keys.agreement) },
    };
  }

  /** The gateway's entry, its authority and the agreement that both have signed: from here on messages can cross. */
  async begin({ gateway, authority, crl, agreement }) {
    this.gateway = gateway;
    this.agreement = await readAgreement(
      agreement,
      { [this.org]: this.entry, [gateway.org]: gateway },
      new Date(),
    );
    demand(this.agreement.signed.length === 2, 'outside-agreement', 'not signed by both');
    [this.suite] = this.agreement.terms.suites;
    [this.profile] = this.agreement.terms.signature_profiles;
    this.receiver = new Receiver(this);
    const identity = (use) => ({
      cert: this.certificates[use],
      key: this.keys[use].export({ format: 'pem', type: 'pkcs8' }),
    });
    this.client = new Client({ entry: gateway, authority, crl, identity: identity('tls-client') });
    this.identity = identity;
    // another character of the signature: still 64 bytes, of nobody
    const forge = (receipt) =>
      `${receipt.slice(0, -8)}${receipt.at(-8) === 'A' ? 'B' : 'A'}${receipt.slice(-7)}`;
    this.listener = new Listener({
      receiver: this.receiver,
      entry: gateway,
      authority,
      crl,
      identity: identity('tls-server'),
      forge,
    });
    await this.listener.listen(this.port);
  }

  ownKeys() {
    return {
      [HPKE]: { ...this.keys[HPKE], kid: `${this.org}/hpke` },
      [JWE]: { ...this.keys[JWE], kid: `${this.org}/jwe` },
    };
  }

  /** A new message with its seal; `changes` spoils members of the seal, `content` adds to the envelope. */
  async make({
    type = 'ping',
    conv = randomUUID(),
    seq = 1,
    content = {},
    changes = {},
    id = randomUUID(),
    head,
  } = {}) {
    const now = new Date();
    const envelope = {
      format: FORMAT,
      type,
      mode: this.mode,
      message_id: id,
      conversation: conv,
      from: this.org,
      to: this.them,
      created: instant(now),
      language: 'fr',
    };
    const payload = ordered({ ...envelope, ...content });
    this.log.append({
      at: instant(now),
      dir: 'out',
      event: 'message',
      conv,
      id,
      seq,
      type,
      content: payload,
    });
    const iat = Math.floor(now / 1000);
    const suite = changes.suite ?? this.suite;
    const [recipient] = keysOf(this.gateway, 'encryption', suite, now);
    const [own, lattice] = this.entry.keys.filter((key) => key.use === 'message');
    const seal = {
      alg: 'ES256',
      kid: own.kid,
      typ: `ecluse-msg-${type}+jws`,
      cty: 'application/json',
      crit: ['b64'],
      b64: false,
      'x5t#S256': own.x5t,
      iat,
      exp: iat + LIFE,
      iss: this.org,
      aud: this.them,
      enc_kid: recipient.kid,
      suite,
      sig_profile: this.profile,
      jti: id,
      conv,
      seq,
      mode: this.mode,
      agreement: this.agreement.sha256,
      payload_sha256: hex(sha256(payload)),
      checkpoint: head ?? this.log.head(),
      ...changes,
    };
    const [first, second] =
      seal.sig_profile === 'hybrid'
        ? await sealHybrid(seal, payload, this.keys, lattice)
        : [await sealClassic(seal, payload, this.keys.message), ''];
    return { id, conv, seq, seal, payload, first, second, digest: hex(sha256(payload)), recipient };
  }

  /** Encrypt anew: the same seal, another ciphertext, each time. */
  wrap(message) {
    return encrypt(message.seal, pack(message.first, message.second, message.payload), message.recipient);
  }

  verify(token, messages) {
    const now = new Date();
    const checkHead = (note) => this.heads.keep(verifyHead(note, this.gateway, this.org, now));
    const sent = messages.map(({ id, digest }) => [id, digest]);
    return verifyReceipt(token, { entry: this.gateway, us: this.org, sent, now, checkHead });
  }

  /** POST and verify: gives the receipt as it stands, and its statement. */
  async send(messages, items) {
    const sealed = items ?? (await Promise.all(messages.map((message) => this.wrap(message))));
    const answer = await this.client.post(sealed);
    demand(
      answer.status === 200 && answer.type === RECEIPT,
      'unavailable',
      `the answer is ${answer.status} ${answer.body.toString('latin1').slice(0, 120)}`,
    );
    const receipt = answer.body.toString('latin1');
    const statement = await this.verify(receipt, messages);
    this.log.append({
      at: statement.at,
      dir: 'in',
      event: 'receipt',
      conv: statement.id,
      id: statement.id,
      seq: statement.items.length,
      type: 'receipt',
      content: receipt,
    });
    return { receipt, statement, sealed };
  }

  async close() {
    this.client?.close();
    await this.listener?.close();
  }
}
