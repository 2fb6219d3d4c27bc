/** The doors of an agent, as plain data: what each is to be, and what became of it. */

/** What a door needs to open. */
export type DoorSetup = MountSetup;

/** A FUSE mount. */
export interface MountSetup {
  readonly door: "mount";
  /** Absolute. */
  readonly mount: string;
}

/** An open door, as status shows it. */
export type DoorReport = MountSetup;

/** Where the agent is mounted, if it is. */
export function mountOf(doors: readonly (DoorSetup | DoorReport)[]): string | undefined {
  return doors.find(({ door }) => door === "mount")?.mount;
}
