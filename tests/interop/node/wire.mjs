// §5 TLS and §6 HTTP, both ends. What the TLS library checks is the path, its revocation lists and the name; the rest is here.
import https from 'node:https';
import { X509Certificate, constants } from 'node:crypto';
import { joinBatch } from './container.mjs';
import { spkiOf } from './keys.mjs';
import { Refusal, demand, hex, sha256, unb64u } from './spelling.mjs';

export const BATCH = 'application/vnd.ecluse.sealed-batch';
export const RECEIPT = 'application/vnd.ecluse.receipt+jose';
const MESSAGES = '/exchange/v1/messages';
const MOST_BODY = 16777216;
const MOST_ANSWER = 262144;
const EKU = { 'tls-server': '1.3.6.1.5.5.7.3.1', 'tls-client': '1.3.6.1.5.5.7.3.2' };
const STATUS = {
  malformed: 400,
  'unknown-partner': 403,
  'wrong-audience': 403,
  replayed: 403,
  'length-required': 411,
  'too-large': 413,
  unavailable: 503,
};
const DAY = 86400000;

export const TLS = {
  minVersion: 'TLSv1.3',
  maxVersion: 'TLSv1.3',
  ciphers: 'TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256',
  ecdhCurve: 'X25519:P-256:P-384',
  sigalgs:
    'ecdsa_secp256r1_sha256:ecdsa_secp384r1_sha384:rsa_pss_rsae_sha256:rsa_pss_rsae_sha384:rsa_pss_rsae_sha512:rsa_pkcs1_sha256:rsa_pkcs1_sha384:rsa_pkcs1_sha512',
  secureOptions: constants.SSL_OP_NO_TICKET,
};

/** Steps 3 to 5 of §5 on the other end's leaf; `issuer` may be absent when the leaf itself is pinned. */
export function checkLeaf(raw, issuerRaw, use, entry) {
  const leaf = new X509Certificate(raw);
  const code = 'unknown-partner';
  demand(!leaf.ca && leaf.keyUsage?.length === 1 && leaf.keyUsage[0] === EKU[use], code, 'another purpose'); // keyUsage: the extended one
  const life = new Date(leaf.validTo) - new Date(leaf.validFrom);
  demand(life <= 398 * DAY, code, 'a certificate that lives too long');
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = leaf.publicKey;
  const strong =
    type === 'ec'
      ? ['prime256v1', 'secp384r1'].includes(details.namedCurve)
      : type === 'rsa' && details.modulusLength >= 3000;
  demand(strong, code, 'a weak key');
  const names = (leaf.subjectAltName ?? '').split(', ');
  const uris = names.filter((name) => name.startsWith('URI:'));
  demand(uris.length === 1 && uris[0] === `URI:urn:ecluse:org:${entry.org}`, code, 'another organisation');
  demand(
    names.every((name) => !name.includes('*')),
    code,
    'a wildcard',
  );
  demand(!entry.stopped, code, 'stopped');
  const pins = entry.keys
    .filter((key) => key.use === use && !key.revoked)
    .map((key) => hex(sha256(unb64u(key.public))));
  const issuer = issuerRaw && new X509Certificate(issuerRaw).publicKey;
  const ends = [leaf.publicKey, ...(issuer ? [issuer] : [])].map((key) => hex(sha256(spkiOf(key))));
  demand(
    ends.some((digest) => pins.includes(digest)),
    code,
    'not pinned',
  );
}

const issuerOf = (certificate) => {
  const above = certificate.issuerCertificate;
  return above && above !== certificate ? above.raw : undefined;
};

const read = (stream, most) =>
  new Promise((resolve, reject) => {
    const pieces = [];
    let size = 0;
    stream.on('data', (piece) => {
      size += piece.length;
      if (size > most) stream.destroy(new Error('too much'));
      pieces.push(piece);
    });
    stream.on('end', () => resolve(Buffer.concat(pieces)));
    stream.on('error', reject);
    stream.on('aborted', () => reject(new Error('cut off')));
  });

/** The client half. `identity`: our certificate and key, PEM. */
export class Client {
  constructor({ entry, authority, crl, identity }) {
    const server = new URL(entry.endpoint);
    this.options = {
      host: server.hostname,
      port: server.port,
      servername: entry.tls_name,
      ca: authority,
      crl,
      ...identity,
      ...TLS,
      checkServerIdentity: (_host, certificate) => {
        try {
          demand(
            new X509Certificate(certificate.raw).checkHost(entry.tls_name),
            'unknown-partner',
            'another host name',
          );
          checkLeaf(certificate.raw, issuerOf(certificate), 'tls-server', entry);
          return undefined;
        } catch (error) {
          return error;
        }
      },
    };
    this.agent = new https.Agent({ keepAlive: true, maxSockets: 1, maxCachedSessions: 0 });
  }

  /** One request; gives status, type and body. `tls` overrides the connection, which is then a fresh one. */
  async ask(asked) {
    try {
      return await this.#exchange(asked);
    } catch (error) {
      // the other end had closed the idle connection (§17): repeating is always safe (§13)
      if (!error.reused) throw error;
      return this.#exchange(asked);
    }
  }

  async #exchange({ method = 'GET', path, headers = {}, body, tls }) {
    const agent = tls ? new https.Agent({ keepAlive: false }) : this.agent;
    const request = https.request({ ...this.options, ...tls, agent, method, path, headers, timeout: 60000 });
    const answered = new Promise((resolve, reject) => {
      request.on('response', resolve);
      request.on('error', (error) => reject(Object.assign(error, { reused: request.reusedSocket })));
      request.on('timeout', () => request.destroy(new Error('no answer')));
    });
    if (body) request.write(body);
    request.end();
    const answer = await answered;
    return {
      status: answer.statusCode,
      type: answer.headers['content-type'] ?? '',
      body: await read(answer, MOST_ANSWER),
    };
  }

  post(items, { headers = {}, tls } = {}) {
    const body = Buffer.isBuffer(items) ? items : joinBatch(items);
    return this.ask({
      method: 'POST',
      path: MESSAGES,
      headers: { 'Content-Type': BATCH, 'Content-Length': body.length, ...headers },
      body,
      tls,
    });
  }

  receipt(id) {
    return this.ask({ path: `${MESSAGES}/${id}/receipt` });
  }

  close() {
    this.agent.destroy();
  }
}

/** The listener. `receiver.post` answers a batch; `trouble` scripts what happens to the next POSTs instead. */
export class Listener {
  trouble = [];
  refusedConnections = 0;

  constructor({ receiver, entry, authority, crl, identity, forge }) {
    Object.assign(this, { receiver, entry, forge });
    this.server = https.createServer({
      ...identity,
      ca: authority,
      crl,
      requestCert: true,
      rejectUnauthorized: true,
      ...TLS,
      keepAliveTimeout: 10000,
    });
    // before the HTTP parser gets the connection: a peer that is nobody's partner never sees an answer
    this.server.prependListener('secureConnection', (socket) => {
      try {
        const certificate = socket.getPeerCertificate(true);
        checkLeaf(certificate.raw, issuerOf(certificate), 'tls-client', entry);
      } catch {
        this.refusedConnections += 1;
        socket.destroy();
      }
    });
    this.server.on('tlsClientError', () => {
      this.refusedConnections += 1;
    });
    this.server.on('request', (request, response) =>
      this.#serve(request, response).catch(() => response.destroy()),
    );
  }

  listen(port) {
    return new Promise((resolve) => {
      this.server.listen(port, '127.0.0.1', resolve);
    });
  }

  async #serve(request, response) {
    const asked = new RegExp(`^${MESSAGES}/([0-9a-f-]{36})/receipt$`).exec(request.url);
    if (asked) return this.#receipt(request, response, asked[1]);
    if (request.url !== MESSAGES) return response.writeHead(404, { 'Content-Length': 0 }).end();
    if (request.method !== 'POST') return response.writeHead(405, { 'Content-Length': 0 }).end();
    try {
      const answer = await this.#post(request);
      const trouble = this.trouble.shift();
      if (trouble === 'lost') return response.destroy();
      return response
        .writeHead(200, { 'Content-Type': RECEIPT })
        .end(trouble === 'forged' ? this.forge(answer) : answer);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      return this.#problem(response, error.code);
    }
  }

  async #post(request) {
    const { headers } = request;
    demand(
      headers['transfer-encoding'] === undefined && /^\d+$/.test(headers['content-length'] ?? ''),
      'length-required',
      'no length',
    );
    demand(
      headers['content-type'] === BATCH && headers['content-encoding'] === undefined,
      'malformed',
      'another media type',
    );
    demand(Number(headers['content-length']) <= MOST_BODY, 'too-large', 'a body too large');
    const body = await read(request, MOST_BODY);
    if (this.trouble[0] === 'unavailable') {
      this.trouble.shift();
      throw new Refusal('unavailable', 'as told');
    }
    return this.receiver.post(body, this.entry.org);
  }

  #receipt(request, response, id) {
    if (request.method !== 'GET') return response.writeHead(405, { 'Content-Length': 0 }).end();
    const stored = this.receiver.accepted.get(id)?.receipt;
    if (!stored) return response.writeHead(404, { 'Content-Length': 0 }).end();
    return response.writeHead(200, { 'Content-Type': RECEIPT }).end(stored);
  }

  #problem(response, code) {
    const body = JSON.stringify({ type: `urn:ecluse:problem:${code}`, title: code, status: STATUS[code] });
    response.writeHead(STATUS[code], {
      'Content-Type': 'application/problem+json',
      ...(code === 'unavailable' ? { 'Retry-After': '1' } : {}),
    });
    response.end(body);
  }

  close() {
    this.server.closeAllConnections();
    return new Promise((resolve) => {
      this.server.close(resolve);
    });
  }
}
