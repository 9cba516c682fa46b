// §10 Payload: envelope, conditions, labels and their strictness.
import { KIND, readPerson } from './person.mjs';
import {
  among,
  closed,
  demand,
  isBoolean,
  isDay,
  isInstant,
  isInstantForm,
  isLanguage,
  isName,
  isOrg,
  isUuid,
  isObject,
  isText,
  line,
  listOf,
  parseExact,
  refuse,
  sameOrder,
} from './spelling.mjs';

const CODE = 'schema-violation';
const FORMAT = 'ct-exchange-json/1.0';
const PLAIN = ['void', 'status', 'ping', 'checkpoint'];
export const isPlain = (type) => PLAIN.includes(type);

const ENVELOPE = {
  format: among(FORMAT),
  type: among(...PLAIN, 'recall', 'disclosure'),
  mode: among('operational', 'exercise', 'test'),
  message_id: isUuid,
  conversation: isUuid,
  from: isOrg,
  to: isOrg,
  created: isInstantForm,
  language: isLanguage,
};
const DISCLOSURE = {
  ...ENVELOPE,
  label: isObject,
  handling: isObject,
  manifest: isObject,
  records: listOf(isObject, 1, 256),
  labels: listOf(isObject, 1, 65536),
};

const HANDLING = {
  regime: among('BE-OCAM', 'BE-POLICE', 'BE-INTEL', 'SPOC'),
  route: among('police', 'intelligence', 'other'),
  purpose: isName,
  legal_basis: line(200),
  retention_until: isDay,
  onward: among('none', 'originator-consent'),
};

const TLP = ['CLEAR', 'GREEN', 'AMBER', 'AMBER+STRICT', 'RED'];
const PAP = ['CLEAR', 'GREEN', 'AMBER', 'RED'];
const setOf = (form) => listOf(form, 0, 256);
const LABEL = {
  policy: line(64),
  level: line(64),
  releasable_to: setOf(isName),
  originators: setOf(isName),
  originator_control: isBoolean,
  handling_code: setOf(among('H0', 'H1', 'H2', 'H3')),
  tlp: among(...TLP),
  purpose: setOf(isName),
  retention_until: isDay,
  no_foreign: isBoolean,
  embargo: isBoolean,
  pap: among(...PAP),
  legal_basis: setOf(isName),
  person: setOf(among('suspect', 'convicted', 'contact', 'victim', 'witness', 'minor')),
  caveat: setOf(among('DIFFUSION RESTREINTE')),
};
const SETS = ['releasable_to', 'originators', 'handling_code', 'purpose', 'legal_basis', 'person', 'caveat'];
const MAY_BE_EMPTY = ['purpose', 'legal_basis'];

function readLabel(value) {
  const label = closed(value, LABEL, CODE, Object.keys(LABEL).slice(2));
  demand(sameOrder(label, Object.keys(LABEL)), 'malformed', 'a label in another order');
  for (const name of SETS.filter((set) => set in label)) {
    demand(new Set(label[name]).size === label[name].length, CODE, 'a set with a repetition');
    demand(
      label[name].every((item, i) => i === 0 || label[name][i - 1] < item),
      'malformed',
      'a set out of order',
    );
    demand(MAY_BE_EMPTY.includes(name) || label[name].length > 0, 'malformed', 'an empty set written out');
  }
  for (const name of ['originator_control', 'no_foreign', 'embargo'])
    demand(label[name] !== false, 'malformed', 'a default written out');
  return label;
}

/** Where each label may stand, in document order: the record, its members but for `ref`, of a list member its items alone. */
const places = (records) =>
  records.flatMap((record, i) => [
    `/records/${i}`,
    ...Object.entries(record)
      .filter(([name]) => name !== 'ref')
      .flatMap(([name, value]) => {
        const field = `/records/${i}/${name}`;
        return Array.isArray(value) ? value.map((_, j) => `${field}/${j}`) : [field];
      }),
  ]);

const RECALL = {
  ...ENVELOPE,
  recalls: isUuid,
  action: among('withdrawn', 'replaced', 'expired'),
  replaced_by: isUuid,
};

function readRecall({ message_id: id, recalls, action, replaced_by: by }) {
  demand(recalls !== id && by !== id && by !== recalls, CODE, 'a recall of itself, or by one of the two');
  demand(
    (action === 'replaced') === (by !== undefined),
    CODE,
    'a recall replaced by nothing, or withdrawn for another',
  );
}

/** Step 12 of §11. */
export function readPayload(bytes) {
  const payload = parseExact(bytes);
  demand(isObject(payload), CODE, 'not an object');
  const forms = { disclosure: DISCLOSURE, recall: RECALL }[payload.type] ?? ENVELOPE;
  closed(payload, forms, CODE, ['replaced_by']);
  if (payload.type === 'recall') readRecall(payload);
  if (payload.type !== 'disclosure') {
    demand(isInstant(payload.created), 'malformed', 'an instant that does not exist');
    demand(sameOrder(payload, Object.keys(forms)), 'malformed', 'members in another order');
    return payload;
  }
  const { manifest, records, labels, handling } = payload;
  closed(
    manifest,
    {
      records: listOf((item) => !!closed(item, { part: isText, kind: isText }, CODE), 1, 256),
      attachments: listOf(() => false),
    },
    CODE,
  );
  demand(manifest.records.length === records.length, CODE, 'records and manifest');
  manifest.records.forEach(({ part }, i) => demand(part === `/records/${i}`, CODE, 'a part of the manifest'));
  for (const { kind } of manifest.records) demand(kind === KIND, CODE, 'an unknown kind');
  records.forEach(readPerson);
  closed(handling, HANDLING, CODE);
  labels.forEach((item) => closed(item, { part: isText, label: (label) => !!readLabel(label) }, CODE));
  readLabel(payload.label);
  const allowed = places(records);
  const stand = labels.map(({ part }) => allowed.indexOf(part));
  demand(
    stand.every((at, i) => at >= 0 && (i === 0 || stand[i - 1] < at)),
    CODE,
    'labels twice, out of order or of nothing',
  );
  records.forEach((_, i) =>
    demand(
      labels.some(({ part }) => part === `/records/${i}`),
      CODE,
      'a record without label',
    ),
  );
  const inOrder =
    sameOrder(payload, Object.keys(forms)) &&
    sameOrder(handling, Object.keys(HANDLING)) &&
    sameOrder(manifest, ['records', 'attachments']) &&
    manifest.records.every((item) => sameOrder(item, ['part', 'kind'])) &&
    labels.every((item) => sameOrder(item, ['part', 'label']));
  demand(inOrder && isInstant(payload.created), 'malformed', 'another spelling of a message');
  return payload;
}

const RANKS = {
  BEL: [
    ['UNCLASSIFIED', 'NON CLASSIFIE', 'NIET GECLASSIFICEERD'],
    ['RESTREINT', 'BEPERKT'],
    ['CONFIDENTIEL', 'VERTROUWELIJK'],
    ['SECRET', 'GEHEIM'],
    ['TRES SECRET', 'ZEER GEHEIM'],
  ],
  EU: [
    ['UNCLASSIFIED'],
    ['RESTREINT UE/EU RESTRICTED'],
    ['CONFIDENTIEL UE/EU CONFIDENTIAL'],
    ['SECRET UE/EU SECRET'],
    ['TRÈS SECRET UE/EU TOP SECRET'],
  ],
  FRA: [['UNCLASSIFIED'], [], [], ['SECRET'], ['TRÈS SECRET']],
  NLD: [
    ['UNCLASSIFIED'],
    ['Dep. VERTROUWELIJK'],
    ['Stg. CONFIDENTIEEL'],
    ['Stg. GEHEIM'],
    ['Stg. ZEER GEHEIM'],
  ],
};
/** Rank of (policy, level); the policies that are not exchanged here are unknown, and refused. */
export const rank = ({ policy, level }) => {
  const at = (RANKS[policy] ?? []).findIndex((names) => names.includes(level));
  return at >= 0 ? at : refuse(CODE, 'a level without a rank');
};

const within = (few, many) => (few ?? []).every((item) => (many ?? []).includes(item));
const covered = (few, many) =>
  (few ?? []).every(
    (item) => (many ?? []).includes(item) || (many ?? []).includes(item.slice(0, 3).toUpperCase()),
  );

/** Label `a` is at least as strict as `b` on every axis. */
export const dominates = (a, b) =>
  rank(a) >= rank(b) &&
  covered(a.releasable_to, b.releasable_to) &&
  within(b.originators, a.originators) &&
  within(b.handling_code, a.handling_code) &&
  TLP.indexOf(a.tlp) >= TLP.indexOf(b.tlp) &&
  within(b.person, a.person) &&
  within(b.caveat, a.caveat) &&
  PAP.indexOf(a.pap) >= PAP.indexOf(b.pap) &&
  MAY_BE_EMPTY.every((name) => !b[name] || (!!a[name] && within(a[name], b[name]))) &&
  (!b.retention_until || (!!a.retention_until && a.retention_until <= b.retention_until)) &&
  ['originator_control', 'no_foreign', 'embargo'].every((name) => a[name] || !b[name]);

export const releases = ({ releasable_to: to = [], no_foreign: foreign }, { org, nation }) =>
  !foreign && (to.includes(org) || to.includes(nation));
