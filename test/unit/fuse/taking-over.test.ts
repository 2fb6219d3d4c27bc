/** A door that goes on where an agent was killed. */
import { describe, expect, test } from "vitest";
import { silentLog } from "../../../src/base/log.ts";
import { ROOT_INO } from "../../../src/base/ids.ts";
import { Door } from "../../../src/fuse/door.ts";
import { chooseOptions } from "../../../src/fuse/options.ts";
import { INIT2, MINOR_WITH_EPOCH, REPLY } from "../../../src/fuse/protocol.ts";
import { CALLER } from "../../../src/simulate/vfs-driver.ts";
import { diskFull } from "../../../src/simulate/disks/simulated-disk.ts";
import { FakeSession } from "../../support/fake-session.ts";
import { VfsHarness } from "../../support/vfs-harness.ts";

/** More than a journal prepares; each agent begins one. */
const SPARE_SEGMENTS = 5;
const FOUND = `answer LOOKUP kind ${REPLY.ENTRY}`;

function takeOver(fs: VfsHarness): FakeSession {
  const session = new FakeSession();
  const handoff = { minor: MINOR_WITH_EPOCH, flags: 0, flags2: INIT2.HAS_RESEND };
  const supervision = { log: "", cwd: "", command: [], env: {}, mayResend: true, isInherited: true, handoff };
  const options = chooseOptions({ mountPoint: "", source: "", log: silentLog, clock: fs.clock, supervision });
  void new Door(session.addon, { device: 3, slots: 4 }, fs.vfs, options, { ready: () => {}, ended: () => {} });
  return session;
}

describe("a door that takes over", () => {
  test("answers on a full disk, also once the journal has no room to say that the requests sent again are over", async () => {
    const fs = await VfsHarness.create();
    await fs.make("made");
    fs.vfs.persist();
    for (let kill = 0; kill < SPARE_SEGMENTS; kill++) {
      fs.restart();
      fs.disk.before = (call) => {
        if (call === "create") throw diskFull();
      };
      const session = takeOver(fs);
      session.send(...[9, 11].map((unique) => ({ opcode: "LOOKUP" as const, unique, name: "made" })));
      expect(session.done.slice(-2)).toEqual([FOUND, FOUND]);
    }
  });

  test("asks whether the kernel knows a file without a name only once it answered the request that made it", async () => {
    const fs = await VfsHarness.create();
    await fs.make("here");
    fs.vfs.answers.request = 8;
    const { ino } = await fs.run((vfs) => vfs.makeUnnamed(ROOT_INO, 0o600, CALLER));
    fs.vfs.persist();
    fs.restart();
    const session = takeOver(fs);
    session.send({ opcode: "TMPFILE", unique: -8 });
    session.send({ opcode: "LOOKUP", unique: 10, name: "here" });
    const told = [`answer TMPFILE kind ${REPLY.CREATED}`, FOUND, `probe ${ino}`];
    expect(session.done.filter((each) => told.includes(each))).toEqual(told);
  });
});
