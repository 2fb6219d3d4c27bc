/** Passphrases and keys: who is asked, what is made, which file an error names, and what a guess costs. */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { Call } from "../../../src/cli/command.ts";
import { createOutput } from "../../../src/cli/terminal/output.ts";
import { askNoMore, loadWallet } from "../../../src/cli/wallet.ts";
import { CHOSEN_COST, RANDOM_COST } from "../../../src/crypto/keystore.ts";
import { createFakeRuntime } from "../../support/fake-runtime.ts";
import { temporaryFolder } from "../../support/temporary-folder.ts";

test("an agent that serves asks for no passphrase at its terminal, but says how it gets one", async () => {
  const XDG_CONFIG_HOME = await temporaryFolder();
  const callWith = (terminal: boolean): Call => {
    const runtime = createFakeRuntime({ XDG_CONFIG_HOME }, { terminal });
    const output = createOutput(runtime, { json: false, verbose: false });
    return { args: [], options: {} as Call["options"], output, runtime, version: "0" };
  };
  await loadWallet(callWith(false));
  rmSync(join(XDG_CONFIG_HOME, "syncline", "key.pass"));
  const call = callWith(true);
  const wallet = await loadWallet(call);
  askNoMore(call);
  await expect(wallet.sign({ domain: {}, struct: "S", fields: [] } as never)).rejects.toMatchObject({
    code: "key_locked",
    hint: expect.stringContaining("SYNCLINE_PASSPHRASE_FILE") as string,
  });
});

test("an agent that serves makes no new key when its own is away", async () => {
  const XDG_CONFIG_HOME = await temporaryFolder();
  const runtime = createFakeRuntime({ XDG_CONFIG_HOME });
  const output = createOutput(runtime, { json: false, verbose: false });
  const call: Call = { args: [], options: {} as Call["options"], output, runtime, version: "0" };
  askNoMore(call);
  await expect(loadWallet(call)).rejects.toMatchObject({ code: "key_invalid" });
  expect(existsSync(join(XDG_CONFIG_HOME, "syncline"))).toBe(false);
});

test("a keystore that is damaged is named", async () => {
  const XDG_CONFIG_HOME = await temporaryFolder();
  const path = join(XDG_CONFIG_HOME, "syncline", "key.json");
  mkdirSync(join(path, ".."));
  writeFileSync(path, "");
  const runtime = createFakeRuntime({ XDG_CONFIG_HOME });
  const output = createOutput(runtime, { json: false, verbose: false });
  const call: Call = { args: [], options: {} as Call["options"], output, runtime, version: "0" };
  await expect(loadWallet(call)).rejects.toMatchObject({
    code: "key_invalid",
    message: `${path}: This is not a version 3 Ethereum keystore: it is not JSON.`,
  });
});

test("a guess at a passphrase that somebody chose costs a second; a random one opens its key at once", async () => {
  const costWith = async (options: Partial<Call["options"]>): Promise<unknown> => {
    const XDG_CONFIG_HOME = await temporaryFolder();
    const runtime = createFakeRuntime({ XDG_CONFIG_HOME });
    const output = createOutput(runtime, { json: false, verbose: false });
    await loadWallet({ args: [], options: options as Call["options"], output, runtime, version: "0" });
    const stored: unknown = JSON.parse(readFileSync(join(XDG_CONFIG_HOME, "syncline", "key.json"), "utf8"));
    return (stored as { crypto: { kdfparams: { n: number } } }).crypto.kdfparams.n;
  };
  const passphraseFile = join(await temporaryFolder(), "chosen");
  writeFileSync(passphraseFile, "my passphrase\n");
  expect([await costWith({ passphraseFile }), await costWith({})]).toEqual([CHOSEN_COST, RANDOM_COST]);
});
