// §10: the record kind bdc-person/1.0, member by member.
import {
  among,
  closed,
  demand,
  isBoolean,
  isCount,
  isDay,
  isDigest,
  isNation,
  isObject,
  isText,
  listOf,
  sameOrder,
} from './spelling.mjs';

export const KIND = 'bdc-person/1.0';
const CODE = 'schema-violation';

// what nobody can see, but for joiners between letters of Arabic script, and in free text tab, line feed and three marks
const HIDDEN = /[\p{Cc}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/u;
const JOINED = /(?<=(?=\p{L})\p{Script=Arabic})[\u200c\u200d](?=(?=\p{L})\p{Script=Arabic})/gu;
const MARKS = /[\t\n\u061c\u200e\u200f]/gu;
const sized = (value, most) => isText(value) && value.length > 0 && [...value].length <= most;
const line = (value) => sized(value, 200) && !HIDDEN.test(value.replace(JOINED, ''));
const free = (value) => sized(value, 4000) && !HIDDEN.test(value.replace(JOINED, '').replace(MARKS, ''));
const matching = (pattern) => (value) => isText(value) && pattern.test(value);
const reference = matching(/^[0-9A-Za-z][0-9A-Za-z ./:-]{0,63}$/);
const date = (value) => isDay(value) && /^(19|20)/.test(value);
const country = isNation;
const source = among('A', 'B', 'C', 'X');
const within = (least, most) => (value) => isCount(least)(value) && value <= most;
const info = within(1, 4);
const list = (most, form) => listOf(form, 1, most);

/** An object with the members `required`, at least one of `either` if there are any, and perhaps the others of `forms`. */
const some = (required, either, forms) => (value) => {
  closed(
    value,
    forms,
    CODE,
    Object.keys(forms).filter((name) => !required.includes(name)),
  );
  return either.length === 0 || either.some((name) => name in value);
};
const all = (forms) => some(Object.keys(forms), [], forms);

const MEMBERS = {
  ref: matching(/^p-[0-9a-f]{32}$/),
  category: all({ code: among('FTF', 'HTF', 'PH', 'EPV', 'PCT'), criterion: among('a', 'b', 'c', 'd', 'e') }),
  names: list(
    64,
    some(['type', 'script', 'quality'], ['family', 'given', 'kunya', 'text'], {
      type: among('birth', 'alias', 'false-identity'),
      script: matching(/^[A-Z][a-z]{3}$/),
      quality: among('high', 'medium', 'low'),
      family: line,
      given: line,
      kunya: line,
      text: line,
      patronymic: line,
      transliteration: all({ text: line, scheme: reference }),
      source_grade: source,
      info_grade: info,
    }),
  ),
  sex: among('M', 'F', 'X', 'U'),
  birth: list(
    16,
    some(['date', 'precision'], [], {
      date: matching(/^(19|20)\d\d(-\d\d(-\d\d)?)?$/),
      precision: among('year', 'month', 'day'),
      about: isBoolean,
      place: line,
      country,
      country_today: country,
      source: line,
    }),
  ),
  nationalities: list(16, country),
  documents: list(
    64,
    some(['type', 'number'], [], {
      type: among('passport', 'identity-card', 'residence-permit', 'other'),
      number: reference,
      issuer: country,
      status: among('valid', 'stolen', 'lost', 'expired', 'invalidated'),
    }),
  ),
  threat: some(['level', 'date'], [], { level: info, date, valid_until: date }),
  measures: list(
    64,
    some(['type', 'state'], [], {
      type: among('identity-card-withdrawal', 'passport-withdrawal', 'asset-freeze', 'travel-ban', 'other'),
      state: among('proposed', 'in-force', 'lifted', 'expired'),
      basis: line,
      from: date,
      to: date,
    }),
  ),
  detention_release: some(['date'], [], { date, establishment: line, conditions: free, destination: line }),
  source_grade: source,
  info_grade: info,
  description: some([], ['height_cm', 'eyes', 'hair', 'marks'], {
    height_cm: within(20, 280),
    eyes: line,
    hair: line,
    marks: free,
  }),
  photos: list(16, all({ sha256: isDigest, media_type: among('image/jpeg', 'image/png') })),
  addresses: list(64, some(['country'], [], { country, street: line, city: line, from: date, to: date })),
  fingerprint: all({ reference }),
  contacts: list(64, all({ type: among('phone', 'email', 'account'), value: line })),
  links: list(
    64,
    some(['type', 'other'], [], {
      type: among('associate', 'family', 'recruiter', 'financier', 'travelled-with'),
      other: (value) => matching(/^[A-Z]+-[0-9]+$/)(value) && value.length <= 64,
      note: free,
    }),
  ),
  national_number: reference,
  financial: all({ summary: free }),
  special: all({ kind: among('ethnic-origin', 'opinion', 'belief'), text: free }),
};
const NAMES = Object.keys(MEMBERS);

const sortedInside = (value) => {
  if (Array.isArray(value)) return value.every(sortedInside);
  if (!isObject(value)) return true;
  const members = Object.keys(value);
  return (
    members.every((name, i) => i === 0 || members[i - 1] < name) && Object.values(value).every(sortedInside)
  );
};

export function readPerson(record) {
  closed(record, MEMBERS, CODE, NAMES.slice(3));
  demand(sameOrder(record, NAMES), 'malformed', 'a record in another order');
  demand(Object.values(record).every(sortedInside), 'malformed', 'an object that is not sorted');
}
