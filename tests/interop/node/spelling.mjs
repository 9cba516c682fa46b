// §2 Spelling: everything has exactly one, so a reader parses, renders again and compares.
import { createHash } from 'node:crypto';

/** A message, POST or answer that is refused, with the code of §6 or §12. Its text never holds input. */
export class Refusal extends Error {
  constructor(code, why) {
    super(`${code}: ${why}`);
    this.code = code;
  }
}

export const refuse = (code, why) => {
  throw new Refusal(code, why);
};
export const demand = (holds, code, why) => holds || refuse(code, why);

export const sha256 = (...parts) =>
  parts.reduce((hash, part) => hash.update(part), createHash('sha256')).digest();
export const hex = (bytes) => Buffer.from(bytes).toString('hex');
export const b64u = (bytes) => Buffer.from(bytes).toString('base64url');
export const length32 = (number) => {
  const four = Buffer.alloc(4);
  four.writeUInt32BE(number);
  return four;
};

/** Base64url in its one spelling; no padding, no white space, trailing bits zero. */
export function unb64u(text, code = 'malformed') {
  const bytes = Buffer.from(text, 'base64url');
  demand(bytes.toString('base64url') === text, code, 'not base64url');
  return bytes;
}

/** Members in the order they stand in; JSON.stringify escapes exactly as §2 says. */
export const ordered = (value) => Buffer.from(JSON.stringify(value));

const sorted = (value) => {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== 'object') return value;
  // RFC 8785 §3.2.3 sorts by UTF-16 code units, as JavaScript's own comparison does
  return Object.fromEntries(
    Object.keys(value)
      .sort()
      .map((name) => [name, sorted(value[name])]),
  );
};
export const canonical = (value) => ordered(sorted(value));

const NESTING = 32;
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function walk(value, depth, code) {
  if (typeof value === 'string') demand(value.isWellFormed(), code, 'a lone surrogate');
  if (typeof value === 'number') demand(Number.isSafeInteger(value), code, 'a number out of range');
  if (value === null || typeof value !== 'object') return;
  demand(depth < NESTING, code, 'too deeply nested');
  for (const [name, item] of Object.entries(value)) {
    demand(name.isWellFormed(), code, 'a lone surrogate');
    walk(item, depth + 1, code);
  }
}

/** JSON whose own bytes are the one rendering of what it says: no space, no repeated member, no fraction. */
export function parseExact(bytes, code = 'malformed') {
  let value;
  try {
    value = JSON.parse(utf8.decode(bytes));
  } catch {
    refuse(code, 'not JSON');
  }
  walk(value, 0, code);
  demand(ordered(value).equals(Buffer.from(bytes)), code, 'another spelling');
  return value;
}

export function parseCanonical(bytes, code = 'malformed') {
  const value = parseExact(bytes, code);
  demand(canonical(value).equals(Buffer.from(bytes)), code, 'not canonical');
  return value;
}

export const isObject = (value) => value !== null && typeof value === 'object' && !Array.isArray(value);

/** `forms`: member → predicate. `optional` names those that may be absent; nothing else may stand there. */
export function closed(value, forms, code, optional = []) {
  demand(isObject(value), code, 'not an object');
  for (const name of Object.keys(value)) demand(Object.hasOwn(forms, name), code, 'an unknown member');
  for (const [name, form] of Object.entries(forms)) {
    if (!Object.hasOwn(value, name)) demand(optional.includes(name), code, `without ${name}`);
    else demand(form(value[name]), code, `the form of ${name}`);
  }
  return value;
}

export const sameOrder = (value, names) => {
  const present = names.filter((name) => Object.hasOwn(value, name));
  return present.join() === Object.keys(value).join();
};

const text = (pattern) => (value) => typeof value === 'string' && pattern.test(value);
export const isOrg = (value) => text(/^[a-z]{3}\.[a-z0-9]+(-[a-z0-9]+)*$/)(value) && value.length <= 48;
export const isUuid = text(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
export const isKid = text(/^[!#-[\]-~]{1,128}$/);
export const isDigest = text(/^[0-9a-f]{64}$/);
export const isThumbprint = text(/^[A-Za-z0-9_-]{43}$/);
export const isName = text(/^[A-Za-z0-9][A-Za-z0-9 +._:/-]{0,127}$/);
export const isNation = text(/^[A-Z]{3}$/);
export const isLanguage = text(/^[a-z]{2}$/);
export const isText = (value) => typeof value === 'string';
export const isBoolean = (value) => typeof value === 'boolean';
export const isCount = (least) => (value) => Number.isSafeInteger(value) && value >= least;
export const among =
  (...values) =>
  (value) =>
    values.includes(value);
export const line = (most) => (value) =>
  isText(value) && [...value].length <= most && text(/^[^\p{Cc}]+$/u)(value);
export const listOf =
  (form, least = 0, most = Infinity) =>
  (value) =>
    Array.isArray(value) && value.length >= least && value.length <= most && value.every(form);

export const instant = (date) => `${date.toISOString().slice(0, 19)}Z`;
export const isInstantForm = text(/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$/);
export const isInstant = (value) => {
  if (!isInstantForm(value)) return false;
  const read = new Date(value);
  return !Number.isNaN(read.valueOf()) && instant(read) === value;
};
export const isDayForm = text(/^\d{4}-\d{2}-\d{2}$/);
export const isDay = (value) => isDayForm(value) && isInstant(`${value}T00:00:00Z`);
