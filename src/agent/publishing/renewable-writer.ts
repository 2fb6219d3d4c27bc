/** A writer whose certificate expires, and whose device may have to be replaced. */
import type { Writer } from "../../bucket/publish/next-commit.ts";

export interface RenewableWriter {
  readonly writer: Writer;
  /** Publishes as this writer, whose certificate is valid. Throws as `publish`. */
  as<Result>(publish: (writer: Writer) => Promise<Result>): Promise<Result>;
  /** Gives the state a new device when another writer uses the old one, too. */
  replace(): Promise<void>;
}
