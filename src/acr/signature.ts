import { createHash, createHmac } from 'node:crypto';

/** An AccessKey pair; with a security token it is a temporary one. Values stay in memory and are never logged. */
export interface AccessKey {
  readonly id: string;
  readonly secret: string;
  readonly securityToken?: string | undefined;
}

/** A call of an OpenAPI action, before it is signed. */
export interface ActionRequest {
  readonly method: 'GET' | 'POST';
  /** Its query has to be a `canonicalQuery`. */
  readonly url: URL;
  readonly action: string;
  /** Of the product's API, `2018-12-01`. */
  readonly version: string;
  readonly body: string;
  /** Type of the body; absent when there is none. */
  readonly contentType?: string;
}

const algorithm = 'ACS3-HMAC-SHA256';

/**
 * The headers that make a request an authorized one: Alibaba Cloud's signature V3 (help.aliyun.com, "V3 request body & signature
 * mechanism"). `date` in ISO 8601 without fractions, `nonce` unique for 15 minutes.
 */
export function signedHeaders(
  request: ActionRequest,
  key: AccessKey,
  { date, nonce }: { readonly date: string; readonly nonce: string },
): Record<string, string> {
  const bodyHash = sha256(request.body);
  const headers: Record<string, string> = {
    host: request.url.host,
    'x-acs-action': request.action,
    'x-acs-content-sha256': bodyHash,
    'x-acs-date': date,
    'x-acs-signature-nonce': nonce,
    'x-acs-version': request.version,
    ...(key.securityToken !== undefined && { 'x-acs-security-token': key.securityToken }),
    ...(request.contentType !== undefined && { 'content-type': request.contentType }),
  };
  const names = Object.keys(headers).toSorted();
  const canonicalHeaders = names.map((name) => `${name}:${headers[name]?.trim()}\n`).join('');
  const signed = names.join(';');
  const { pathname, search } = request.url;
  const canonical = [request.method, pathname, search.slice(1), canonicalHeaders, signed, bodyHash].join('\n');
  const signature = createHmac('sha256', key.secret)
    .update(`${algorithm}\n${sha256(canonical)}`)
    .digest('hex');
  return {
    ...headers,
    authorization: `${algorithm} Credential=${key.id},SignedHeaders=${signed},Signature=${signature}`,
  };
}

/** Parameters as a query or a form: sorted by name, percent-encoded as RFC 3986 has it (a space is %20, `*` is %2A). */
export function canonicalQuery(parameters: Readonly<Record<string, string>>): string {
  return Object.entries(parameters)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${percentEncode(name)}=${percentEncode(value)}`)
    .join('&');
}

function percentEncode(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
