import { z } from 'zod';
import type { AcrErrorKind } from './errors.ts';

/** The errors of Alibaba Cloud's gateway (RequestId, HostId, Code, Message) and of ACR itself (Code, IsSuccess: false). */
const envelope = z.object({
  Code: z.string().optional(),
  Message: z.string().optional(),
  IsSuccess: z.boolean().optional(),
  RequestId: z.string().optional(),
});

export interface Refusal {
  readonly kind: AcrErrorKind | 'throttled';
  /** Code, message and request id, printable and short. */
  readonly text: string;
}

/** What kind of refusal a code stands for; the first pattern that fits decides. */
const codes: readonly (readonly [RegExp, Refusal['kind']])[] = [
  [/^Throttling|^ServiceUnavailable|^SystemError$|^InternalError/, 'throttled'],
  [/^InvalidTimeStamp|^IllegalTimestamp/, 'clock'],
  [/^InvalidSecurityToken\.Expired|^SecurityTokenExpired|OIDCToken\.Expired/, 'expired'],
  [
    /^InvalidAccessKeyId|^SignatureDoesNotMatch|^IncompleteSignature|^InvalidSecurityToken|^MissingSecurityToken/,
    'credentials',
  ],
  [/OIDCToken|^EntityNotExist\.(Role|OIDCProvider)/, 'credentials'],
  [/^NoPermission|^NoPrivilege|^Forbidden|^AuthenticationFail\.NoPermission|^Unauthorized/, 'denied'],
  [/INSTANCE_NOT_EXIST|INSTANCE_NOT_FOUND|^InvalidInstance|InstanceNot(Exist|Found)/i, 'unknown-instance'],
  [/RegionId|^InvalidRegion|^RegionNotSupported/, 'wrong-region'],
];

/**
 * What an answer refuses, undefined when it is a success. `secrets` are struck out of the server's words: some errors repeat what
 * was sent.
 */
export function refusalOf(
  answer: { readonly status: number; readonly body: string },
  secrets: readonly (string | undefined)[],
): Refusal | undefined {
  const { Code, Message, IsSuccess, RequestId } = parseEnvelope(answer.body);
  const success = answer.status >= 200 && answer.status < 300;
  if (success && IsSuccess !== false && (Code === undefined || /^(success|200)$/i.test(Code))) return undefined;
  const words = [Code, Message].filter((word) => word !== undefined && word !== '').join(': ');
  const text = [`${answer.status}`, ...(words === '' ? [] : [struck(words, secrets)])].join(' ');
  return {
    kind: kindOf(answer.status, Code ?? ''),
    text: RequestId ? `${text} (request ${struck(RequestId, [])})` : text,
  };
}

function kindOf(status: number, code: string): Refusal['kind'] {
  const known = codes.find(([pattern]) => pattern.test(code));
  if (known !== undefined) return known[1];
  if (status === 429 || status === 408 || status >= 500) return 'throttled';
  if (status === 401) return 'credentials';
  return status === 403 ? 'denied' : 'invalid';
}

function parseEnvelope(body: string): z.output<typeof envelope> {
  try {
    return envelope.safeParse(JSON.parse(body)).data ?? {};
  } catch {
    // A proxy's HTML page: the status has to do.
    return {};
  }
}

function struck(text: string, secrets: readonly (string | undefined)[]): string {
  let shown = text;
  for (const secret of secrets) if (secret) shown = shown.replaceAll(secret, '[secret]');
  return shown.replace(/[^\x20-\x7e]/g, '?').slice(0, 300);
}
