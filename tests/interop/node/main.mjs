// One command a line on standard input, one answer a line on standard output: see ../README.md.
import { createInterface } from 'node:readline';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Partner } from './partner.mjs';
import { hex, sha256 } from './spelling.mjs';
import { hostile, receiving, sending, vectors } from './steps.mjs';

const partners = new Map();
const CERTIFIED = ['tls-server', 'tls-client', 'message', 'message-pq', 'receipt'];

const commands = {
  async found({ org, name, gateway, mode, folder }) {
    const partner = await Partner.found({ org, name, gateway, mode });
    partner.folder = folder;
    partners.set(org, partner);
    for (const [use, pem] of Object.entries(partner.requests)) writeFileSync(join(folder, `${use}.csr`), pem);
    return { requests: Object.keys(partner.requests) };
  },
  async entry(partner, { port }) {
    const certificates = Object.fromEntries(
      CERTIFIED.map((use) => [use, readFileSync(join(partner.folder, `${use}.pem`), 'utf8')]),
    );
    const raw = partner.describe({ port, certificates });
    writeFileSync(join(partner.folder, 'entry.json'), raw);
    return { sha256: hex(sha256(raw)) };
  },
  async agree(partner, { terms }) {
    writeFileSync(join(partner.folder, 'agreement.json'), JSON.stringify(await partner.agree(terms)));
    return {};
  },
  async begin(partner) {
    const read = (name) => readFileSync(join(partner.folder, name), 'utf8');
    await partner.begin({
      gateway: JSON.parse(read('gateway.json')),
      authority: read('gateway-ca.pem'),
      crl: read('gateway-crl.pem'),
      agreement: JSON.parse(read('agreement.json')),
    });
    return { suite: partner.suite, profile: partner.profile };
  },
  ...sending,
  ...hostile,
  ...receiving,
  vectors,
  async end(partner) {
    await partner.close();
    partners.delete(partner.org);
    return {};
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { do: name, ...params } = JSON.parse(line);
  let answer;
  try {
    const step = commands[name];
    const result = name === 'found' ? await step(params) : await step(partners.get(params.org), params);
    answer = { ok: true, ...result };
  } catch (error) {
    answer = { ok: false, error: error.code ? `${error.code} ${error.message}` : `${error.stack}` };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
for (const partner of partners.values()) await partner.close();
