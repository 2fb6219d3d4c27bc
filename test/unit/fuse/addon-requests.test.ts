/** The addon between a kernel and JavaScript that both may say anything: what is out of bounds is refused, and serving goes on. */
import { describe, expect, test } from "vitest";
import { CELL, OPCODE, OUTPUT_BYTES, REPLY } from "../../../src/fuse/protocol.ts";
import { FakeKernel } from "../../support/fake-kernel.ts";
import { whyNoAddon } from "../../support/fuse-process.ts";

const EIO = 5;
const EINVAL = 22;
const EPROTO = 71;
const FORGET_MANY = 42;
/** How many bytes of a request's structure must be there; names follow. */
const BODIES: readonly (readonly [opcode: number, structure: number, names: number])[] = [
  [OPCODE.LOOKUP, 0, 1],
  [OPCODE.UNLINK, 0, 1],
  [OPCODE.RMDIR, 0, 1],
  [OPCODE.REMOVEXATTR, 0, 1],
  [OPCODE.SYMLINK, 0, 2],
  [OPCODE.SETATTR, 88, 0],
  [OPCODE.MKNOD, 16, 1],
  [OPCODE.MKDIR, 8, 1],
  [12, 8, 2],
  [OPCODE.RENAME2, 16, 2],
  [OPCODE.LINK, 8, 1],
  [OPCODE.OPEN, 8, 0],
  [OPCODE.RELEASE, 24, 0],
  [OPCODE.READ, 40, 0],
  [OPCODE.READDIR, 40, 0],
  [OPCODE.READDIRPLUS, 40, 0],
  [OPCODE.WRITE, 40, 0],
  [OPCODE.CREATE, 16, 1],
  [OPCODE.TMPFILE, 16, 1],
  [OPCODE.SETXATTR, 8, 1],
  [OPCODE.GETXATTR, 8, 1],
  [OPCODE.LISTXATTR, 8, 0],
  [OPCODE.FALLOCATE, 32, 0],
  [OPCODE.LSEEK, 24, 0],
  [OPCODE.COPY_FILE_RANGE, 56, 0],
  [OPCODE.INIT, 16, 0],
];

describe.skipIf(whyNoAddon() !== undefined)("requests", () => {
  test("truncated in their structure or a name get EINVAL and never reach JavaScript", async () => {
    await using kernel = new FakeKernel();
    for (const [opcode, structure, names] of BODIES) {
      const whole = Buffer.concat([
        Buffer.alloc(structure),
        Buffer.from("name\0other\0").subarray(0, [0, 5, 11][names]),
      ]);
      for (let length = 0; length < whole.length; length++) {
        const { error } = await kernel.ask(opcode, whole.subarray(0, length));
        expect(error, `opcode ${opcode}, ${length} of ${whole.length} bytes`).toBe(EINVAL);
      }
      expect(kernel.shown).toHaveLength(0);
      // The whole one arrives; JavaScript leaves it unanswered.
      expect((await kernel.ask(opcode, whole)).error, `opcode ${opcode}`).toBe(EIO);
      await expect.poll(() => kernel.shown.length).toBe(1);
      expect(kernel.shown.pop()?.names).toEqual(["name", "other"].slice(0, names));
    }
  });

  test("that announce more bytes than they carry get EINVAL", async () => {
    await using kernel = new FakeKernel();
    for (const size of [4, 5, 1 << 20, 0xffffffff]) {
      const write = Buffer.alloc(40 + 4);
      write.writeUInt32LE(size, 16);
      expect((await kernel.ask(OPCODE.WRITE, write)).error).toBe(size === 4 ? EIO : EINVAL);
      const xattr = Buffer.concat([Buffer.alloc(8), Buffer.from("user.a\0"), Buffer.alloc(4)]);
      xattr.writeUInt32LE(size, 0);
      expect((await kernel.ask(OPCODE.SETXATTR, xattr)).error).toBe(size === 4 ? EIO : EINVAL);
    }
    await expect.poll(() => kernel.shown.length).toBe(2);
  });

  test("that set an attribute arrive in their short and in their long form", async () => {
    await using kernel = new FakeKernel();
    for (const [flags, name, value] of [
      [undefined, "user.a", "value"],
      [undefined, "u", ""],
      [0, "user.a", "value"],
      [1, "u", ""],
      [1, "system.posix_acl_access", "value"],
    ] as const) {
      const head = Buffer.alloc(flags === undefined ? 8 : 16);
      head.writeUInt32LE(value.length, 0);
      if (flags !== undefined) head.writeUInt32LE(flags, 8);
      await kernel.ask(OPCODE.SETXATTR, Buffer.concat([head, Buffer.from(`${name}\0${value}`)]));
      await expect.poll(() => kernel.shown.length).toBe(1);
      const { cells = [], names } = kernel.shown.pop() ?? {};
      expect(names).toEqual([name]);
      expect([cells[CELL.ARGUMENT + 1], cells[CELL.ARGUMENT + 3]]).toEqual([value.length, flags ?? 0]);
    }
  });

  test("whose offset plus length exceeds 64 bits get EFBIG", async () => {
    await using kernel = new FakeKernel();
    const write = Buffer.alloc(40 + 4);
    write.writeBigUInt64LE(2n ** 64n - 2n, 8);
    write.writeUInt32LE(4, 16);
    expect((await kernel.ask(OPCODE.WRITE, write)).error).toBe(27);
    const fallocate = Buffer.alloc(32);
    fallocate.writeBigUInt64LE(2n ** 64n - 2n, 8);
    fallocate.writeBigUInt64LE(2n ** 64n - 2n, 16);
    expect((await kernel.ask(OPCODE.FALLOCATE, fallocate)).error).toBe(27);
  });

  test("that forget more inodes than they name, or interrupt nothing, are harmless", async () => {
    const forgets = Buffer.alloc(8 + 16);
    forgets.writeUInt32LE(0xffffffff, 0);
    forgets.writeBigUInt64LE(7n, 8);
    const requests = [
      ...[0, 4, 8, 15, 24].map((length) => [FORGET_MANY, forgets.subarray(0, length)] as const),
      ...[0, 7, 8].map((length) => [OPCODE.INTERRUPT, Buffer.alloc(length)] as const),
    ];
    for (const [opcode, body] of requests) {
      await using kernel = new FakeKernel();
      // They have no reply: the end of the connection is what comes after them.
      kernel.send(opcode, body);
      kernel.hangUp();
      await kernel.ended;
      expect(await kernel.exited).toBe(0);
    }
  });

  test("shorter than a header end the session with EPROTO", async () => {
    await using kernel = new FakeKernel();
    kernel.sendRaw(Buffer.alloc(39));
    expect(await kernel.ended).toBe(EPROTO);
    expect(await kernel.exited).toBe(0);
  });
});

describe.skipIf(whyNoAddon() !== undefined)("answers", () => {
  test.each<[string, readonly (readonly [number, number | string])[]]>([
    [
      "bytes beyond the end of the output buffer",
      [
        [CELL.KIND, REPLY.DATA],
        [CELL.VALUE, OUTPUT_BYTES],
        [CELL.LENGTH, 1],
      ],
    ],
    [
      "bytes from before the output buffer",
      [
        [CELL.KIND, REPLY.DATA],
        [CELL.VALUE, -8],
        [CELL.LENGTH, 8],
      ],
    ],
    [
      "more bytes than the output buffer holds",
      [
        [CELL.KIND, REPLY.DATA],
        [CELL.VALUE, 8],
        [CELL.LENGTH, OUTPUT_BYTES],
      ],
    ],
    [
      "a negative length",
      [
        [CELL.KIND, REPLY.DATA],
        [CELL.VALUE, 0],
        [CELL.LENGTH, -1],
      ],
    ],
    [
      "a NaN length",
      [
        [CELL.KIND, REPLY.DATA],
        [CELL.VALUE, 0],
        [CELL.LENGTH, "NaN"],
      ],
    ],
    [
      "a length of 2^64",
      [
        [CELL.KIND, REPLY.DATA],
        [CELL.VALUE, 0],
        [CELL.LENGTH, 2 ** 64],
      ],
    ],
    ["an unknown kind", [[CELL.KIND, 13]]],
    ["a NaN kind", [[CELL.KIND, "NaN"]]],
    ["a huge kind", [[CELL.KIND, 1e300]]],
    [
      "a negative errno",
      [
        [CELL.KIND, REPLY.ERROR],
        [CELL.VALUE, -5],
      ],
    ],
    [
      "an errno that the kernel does not accept",
      [
        [CELL.KIND, REPLY.ERROR],
        [CELL.VALUE, 512],
      ],
    ],
    [
      "a NaN errno",
      [
        [CELL.KIND, REPLY.ERROR],
        [CELL.VALUE, "NaN"],
      ],
    ],
  ])("with %s become EIO", async (_, cells) => {
    await using kernel = new FakeKernel(cells);
    const { error, body } = await kernel.ask(OPCODE.READ, Buffer.alloc(40));
    expect(error).toBe(EIO);
    expect(body).toHaveLength(0);
  });

  test("with out-of-range numbers carry the nearest value that the field can hold", async () => {
    const attributes = Array.from(
      { length: 11 },
      (_, index) => [CELL.ATTRIBUTES + index, index % 2 ? 1e300 : -1] as const,
    );
    await using kernel = new FakeKernel([[CELL.KIND, REPLY.ATTRIBUTES], ...attributes]);
    const { error, body } = await kernel.ask(OPCODE.GETATTR, Buffer.alloc(16));
    expect(error).toBe(0);
    // fuse_attr_out: the times of validity, then ino, size, blocks.
    expect(body.readBigUInt64LE(16)).toBe(0n);
    expect(body.readBigUInt64LE(32)).toBe(2n ** 64n - 1n);
  });
});

describe.skipIf(whyNoAddon() !== undefined)("an agent whose JavaScript is stopped before it sends its answers", () => {
  const WRITTEN = [
    [CELL.KIND, REPLY.COUNT],
    [CELL.VALUE, 4],
  ] as const;
  const write = Buffer.alloc(40 + 4);
  write.writeUInt32LE(4, 16);

  test("sends nothing, if another agent follows", async () => {
    await using kernel = new FakeKernel(WRITTEN, "leaves to the next");
    await expect(kernel.ask(OPCODE.WRITE, write)).rejects.toThrow("the serving process ended");
    expect(kernel.shown).toHaveLength(1);
  });

  test("ends in order, although its message thread may end before or after the session", async () => {
    for (let times = 0; times < 5; times++) {
      await using kernel = new FakeKernel(WRITTEN, "leaves to the next");
      kernel.send(OPCODE.WRITE, write);
      expect(await kernel.exited).toBe(0);
    }
  });

  test("refuses the requests, if no agent follows", async () => {
    await using kernel = new FakeKernel(WRITTEN, "fails");
    expect((await kernel.ask(OPCODE.WRITE, write)).error).toBe(EIO);
    expect(await kernel.exited).toBe(0);
  });
});
