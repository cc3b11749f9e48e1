import { describe, expect, test } from 'vitest';
import { refusalOf } from '../../../src/acr/refusal.ts';

const refusal = (status: number, body: object | string) =>
  refusalOf({ status, body: typeof body === 'string' ? body : JSON.stringify(body) }, []);

describe('an answer', () => {
  test.each([
    ['of ACR', { Code: 'success', IsSuccess: true }],
    ['of STS', { Credentials: {} }],
    ['without a word', {}],
  ])('is a success: %s', (_of, body) => {
    expect(refusal(200, body)).toBeUndefined();
  });

  test.each([
    [400, 'Throttling.User', 'throttled'],
    [503, 'ServiceUnavailable', 'throttled'],
    [500, 'SystemError', 'throttled'],
    [400, 'InvalidTimeStamp.Expired', 'clock'],
    [400, 'IllegalTimestamp', 'clock'],
    [400, 'InvalidSecurityToken.Expired', 'expired'],
    [400, 'AuthenticationFail.OIDCToken.Expired', 'expired'],
    [404, 'InvalidAccessKeyId.NotFound', 'credentials'],
    [400, 'SignatureDoesNotMatch', 'credentials'],
    [400, 'AuthenticationFail.OIDCToken.Invalid', 'credentials'],
    [404, 'EntityNotExist.Role', 'credentials'],
    [403, 'NoPrivilege', 'denied'],
    [403, 'NoPermission', 'denied'],
    [403, 'Forbidden.RAM', 'denied'],
    [403, 'AuthenticationFail.NoPermission', 'denied'],
    [404, 'INSTANCE_NOT_EXIST', 'unknown-instance'],
    [400, 'InvalidRegionId.NotFound', 'wrong-region'],
    [400, 'InvalidParameter.DurationSeconds', 'invalid'],
    [401, 'SomethingNew', 'credentials'],
    [403, 'SomethingNew', 'denied'],
    [502, 'SomethingNew', 'throttled'],
  ])('%i %s is a refusal of kind %s', (status, Code, kind) => {
    expect(refusal(status, { Code, Message: 'why' })).toMatchObject({ kind, text: `${status} ${Code}: why` });
  });

  test('with status 200 is a refusal all the same when it says so', () => {
    expect(refusal(200, { Code: 'INSTANCE_NOT_EXIST', IsSuccess: false })).toMatchObject({ kind: 'unknown-instance' });
  });

  test('that is a page of a proxy is judged by its status', () => {
    expect(refusal(502, '<html>Bad Gateway</html>')).toEqual({ kind: 'throttled', text: '502' });
  });

  test('that repeats what was sent to it shows no secret, and no more than a line', () => {
    const Message = `token tok+en== with secret s3cret\n${'x'.repeat(1000)}`;
    const body = JSON.stringify({ Code: 'SignatureDoesNotMatch', Message, RequestId: 'R-1' });
    const text = refusalOf({ status: 400, body }, ['s3cret', 'tok+en==', undefined])?.text ?? '';
    expect(text).toMatch(/^400 SignatureDoesNotMatch: token \[secret\] with secret \[secret\]\?x+ \(request R-1\)$/);
    expect(text.length).toBeLessThan(400);
  });
});
