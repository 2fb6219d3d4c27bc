/** An agent's writer whose certificate outlasts it. */
import type { RenewableWriter } from "../agent/publishing/renewable-writer.ts";
import type { Writer } from "../bucket/publish/next-commit.ts";

export function lastingWriter(first: Writer, certify: () => Promise<Writer>): RenewableWriter {
  let writer = first;
  return {
    get writer() {
      return writer;
    },
    as: (publish) => publish(writer),
    replace: async () => void (writer = await certify()),
  };
}
