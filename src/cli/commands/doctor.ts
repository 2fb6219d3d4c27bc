/** `syncline doctor`: what this machine can and cannot do, with advice. */
import { examine, type Finding } from "../../agent/doctor.ts";
import { stateRoot } from "../../agent/state/state-dir.ts";
import { loadAddon } from "../../fuse/addon.ts";
import { probeServer } from "../../bucket/open-remote.ts";
import { command } from "../command.ts";
import { BUCKET_OPTIONS, writingAccess } from "../master-access.ts";
import { keyPathOf } from "../wallet.ts";

export const register = command({
  name: "doctor",
  summary: "check what this machine supports, and how to fix what is missing",
  arguments: [["[url]", "where a bucket in S3 is or will be: tests its server, too"]],
  options: BUCKET_OPTIONS,
  examples: ["syncline doctor", "syncline doctor s3://my-bucket/notes"],
  async run(call) {
    const { args, options, output, runtime } = call;
    const env = runtime.environmentKey === undefined ? runtime.env : { ...runtime.env, SYNCLINE_KEY: "set" };
    const machine = examine({
      env,
      stateRoot: stateRoot(runtime.env, options.state),
      keyFile: keyPathOf(call),
      loadAddon: () => void loadAddon(),
    });
    const [url] = args;
    const findings = url === undefined ? machine : [...machine, await examineServer(call, url)];
    const lines = findings.map(({ what, state, detail, advice }) => {
      const mark = { good: "ok     ", limited: "limited", bad: "bad    " }[state];
      return `${mark}  ${what.padEnd(13)} ${detail}${advice === undefined ? "" : `\n                        ${advice}`}`;
    });
    output.result({ findings }, lines.join("\n"));
    return findings.some(({ state }) => state === "bad") ? 1 : 0;
  },
});

/** Whether a bucket's root is safe at an S3 server. Throws `not_supported` for addresses elsewhere. */
async function examineServer(call: Parameters<typeof writingAccess>[0], url: string): Promise<Finding> {
  const { clock, random } = call.runtime;
  const { create, replace } = await probeServer(url, { clock, random, access: writingAccess(call) });
  const what = "S3 server";
  if (create !== undefined) {
    const advice = "Use a server with conditional writes (docs/guide/s3.md), or a master in front of this one.";
    return { what, state: "bad", detail: create, advice };
  }
  if (replace === undefined) return { what, state: "good", detail: "keeps conditional writes, also of racing writers" };
  return { what, state: "limited", detail: `${replace}; buckets there get numbered roots` };
}
