import { createPublicKey, generateKeyPairSync, type KeyObject, sign, verify } from 'node:crypto';

/** The issuer of a cluster's service account tokens. */
export interface TokenIssuer {
  readonly issuer: string;
  /** PEM. */
  readonly publicKey: string;
  /** `lifetime` in seconds from now; negative for a token that is past its time. */
  issue(subject: string, lifetime: number): string;
}

export function createTokenIssuer(issuer: string): TokenIssuer {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return {
    issuer,
    publicKey: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
    issue: (subject, lifetime) => createToken(privateKey, issuer, subject, lifetime),
  };
}

function createToken(key: KeyObject, issuer: string, subject: string, lifetime: number): string {
  const now = Math.floor(Date.now() / 1000);
  const claims = { iss: issuer, aud: ['sts.aliyuncs.com'], sub: subject, iat: now, exp: now + lifetime };
  const parts = [{ alg: 'RS256', typ: 'JWT' }, claims].map((part) =>
    Buffer.from(JSON.stringify(part)).toString('base64url'),
  );
  const signed = parts.join('.');
  return `${signed}.${sign('sha256', Buffer.from(signed), key).toString('base64url')}`;
}

/** The token's subject, or the code of the error that STS refuses it with. */
export function checkToken(
  token: string,
  issuer: { readonly issuer: string; readonly publicKey: string },
  nowMs: number,
): { readonly subject: string } | { readonly code: string } {
  const [head = '', body = '', signature = ''] = token.split('.');
  const key = createPublicKey(issuer.publicKey);
  const genuine = verify('sha256', Buffer.from(`${head}.${body}`), key, Buffer.from(signature, 'base64url'));
  if (!genuine) return { code: 'AuthenticationFail.OIDCToken.Invalid' };
  const claims = JSON.parse(Buffer.from(body, 'base64url').toString()) as Record<string, unknown>;
  if (claims.iss !== issuer.issuer || !(claims.aud as string[]).includes('sts.aliyuncs.com')) {
    return { code: 'AuthenticationFail.OIDCToken.Invalid' };
  }
  if (Number(claims.exp) * 1000 <= nowMs) return { code: 'AuthenticationFail.OIDCToken.Expired' };
  return { subject: String(claims.sub) };
}
