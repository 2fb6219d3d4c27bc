/** Values in place of expected failures. */
import { type ErrorCode, hasCode } from "./errors.ts";
import { failedWith } from "./system-errors.ts";

/** A code or several, ours or the system's ("ENOENT"), or a test of the error. */
export type Expected = Code | readonly Code[] | ((error: unknown) => boolean);

type SystemCode = `E${Uppercase<string>}`;
type Code = ErrorCode | SystemCode;

/** The result of `work`; `otherwise` if it fails as expected. */
export async function unless<Value, Other = undefined>(
  expected: Expected,
  work: () => Value | Promise<Value>,
  otherwise?: Other,
): Promise<Value | Other> {
  try {
    return await work();
  } catch (error) {
    if (isExpected(error, expected)) return otherwise as Other;
    throw error;
  }
}

/** `unless` for synchronous work. */
export function unlessSync<Value, Other = undefined>(
  expected: Expected,
  work: () => Value,
  otherwise?: Other,
): Value | Other {
  try {
    return work();
  } catch (error) {
    if (isExpected(error, expected)) return otherwise as Other;
    throw error;
  }
}

/** The result of `work`; `otherwise` if it fails in any way. */
export function orElse<Other, Value>(otherwise: Other, work: () => Value): Value | Other {
  try {
    return work();
  } catch {
    return otherwise;
  }
}

function isExpected(error: unknown, expected: Expected): boolean {
  if (typeof expected === "function") return expected(error);
  const codes = typeof expected === "string" ? [expected] : expected;
  return codes.some((code) => (isSystems(code) ? failedWith(error, code) : hasCode(error, code)));
}

function isSystems(code: Code): code is SystemCode {
  return code.startsWith("E");
}
