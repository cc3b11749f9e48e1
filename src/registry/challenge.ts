/** One challenge of a `WWW-Authenticate` header. Scheme and parameter names are in lower case. */
export interface Challenge {
  readonly scheme: string;
  readonly parameters: ReadonlyMap<string, string>;
}

/** A real challenge has some hundred characters; scopes of many repositories make it a few thousand. */
const maxHeaderLength = 8 * 1024;
const maxChallenges = 8;
const maxParameters = 32;

const token = /[!#$%&'*+\-.^_`|~0-9A-Za-z]+/y;
const token68 = /[A-Za-z0-9\-._~+/]+=*(?=[ \t]*(?:,|$))/y;
const spaces = /[ \t]+/y;
const separators = /[ \t,]+/y;
const equals = /[ \t]*=[ \t]*/y;
const quoted = /"((?:[^"\\]|\\.)*)"/y;

/**
 * Parses `WWW-Authenticate` (RFC 9110 section 11.6.1), which may carry several challenges, in several headers or in one.
 * Hostile input costs time linear in its bounded length; what is malformed ends the list: the challenges before it count.
 */
export function parseChallenges(header: string | readonly string[] | undefined): readonly Challenge[] {
  const headers = header === undefined ? [] : typeof header === 'string' ? [header] : header;
  const text = headers.join(', ').slice(0, maxHeaderLength);
  const challenges: Challenge[] = [];
  let position = 0;

  const take = (pattern: RegExp): RegExpExecArray | undefined => {
    pattern.lastIndex = position;
    const match = pattern.exec(text);
    if (match === null) return undefined;
    position = pattern.lastIndex;
    return match;
  };

  take(separators);
  while (challenges.length < maxChallenges) {
    const scheme = take(token)?.[0].toLowerCase();
    if (scheme === undefined) break;
    const parameters = new Map<string, string>();
    challenges.push({ scheme, parameters });
    // Negotiate and the like answer with a bare token instead of parameters.
    if (take(spaces) !== undefined && !startsParameter(text, position)) take(token68);
    take(separators);
    while (startsParameter(text, position) && parameters.size < maxParameters) {
      const name = take(token)?.[0].toLowerCase();
      take(equals);
      const value = take(quoted)?.[1]?.replace(/\\(.)/g, '$1') ?? take(token)?.[0];
      if (name === undefined || value === undefined) return challenges;
      // The first one counts: a second realm must not replace the one that was checked.
      if (!parameters.has(name)) parameters.set(name, value);
      take(separators);
    }
  }
  return challenges;
}

const parameterStart = /[!#$%&'*+\-.^_`|~0-9A-Za-z]+[ \t]*=[ \t]*(?:"|[!#$%&'*+\-.^_`|~0-9A-Za-z])/y;

/** Whether a `name=value` comes next, rather than another scheme or a `token68` with its padding. */
function startsParameter(text: string, position: number): boolean {
  parameterStart.lastIndex = position;
  return parameterStart.test(text);
}
