/** Commands that people run beside an agent: `put` of a new file, and `policy set`. */
import { silentLog } from "../base/log.ts";
import { nameFromText } from "../base/names.ts";
import type { PublishContext } from "../bucket/publish.ts";
import { openWriter } from "../bucket/writer.ts";
import { sourceOfBytes } from "../bucket/writer/file-source.ts";
import { DEFAULT_POLICY } from "../format/policy.ts";
import type { Policy } from "../format/policy.ts";
import { SHARED_HOME } from "./beginning.ts";
import type { Sabotage } from "./sabotage.ts";

export const ERRANDS = ["put", "policy set"] as const;

export type Errand = (typeof ERRANDS)[number];

/** Whether it is in the bucket for certain. `token` stands in the file's contents, or in a glob of text that the policy gets. */
export async function runErrand(
  kind: Errand,
  context: Omit<PublishContext, "log">,
  token: string,
  sabotage: Sabotage | undefined,
): Promise<boolean> {
  await using writer = await openWriter({ ...context, log: silentLog }, 1);
  const rights = { mode: 0o755, uid: 0, gid: 0 };
  if (kind === "put") {
    const path = [SHARED_HOME, `put ${token}`].map(nameFromText);
    await writer.putFile(path, sourceOfBytes(Buffer.from(`${token} put\n`)), rights);
  }
  const forgets = sabotage === "policy set that forgets what others set";
  const add = (policy: Policy) => withText(forgets ? DEFAULT_POLICY : policy, `*${token}`);
  return (await writer.publish("", kind === "put" ? {} : { policy: add })).kind === "published";
}

function withText(policy: Policy, glob: string): Policy {
  return { ...policy, text: [...policy.text, glob] };
}
