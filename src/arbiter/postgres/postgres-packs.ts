/** The pack log in PostgreSQL. Each change holds the owner's row until it is over, so positions appear in their order. */
import type { Wallet } from "../../base/ids.ts";
import {
  type LogEntry,
  type LogPage,
  PACK_STATES,
  type PackChange,
  type PackLog,
  type PackState,
  PAGE_ENTRIES,
} from "../arbiter.ts";
import type { Database } from "./database.ts";

interface EntryRow extends Record<string, unknown> {
  readonly pack: string;
  readonly bytes: string;
  readonly rows: number;
  readonly state: PackState;
  readonly position: string;
  readonly created: string;
  readonly changed: string;
}

interface Head extends Record<string, unknown> {
  readonly era: string | null;
  readonly position: string | null;
  readonly now: string;
}

const MS = (column: string) => `floor(extract(epoch FROM ${column}) * 1000)::bigint::text`;

const HEAD = `
  SELECT (SELECT era FROM syncline_owners WHERE owner_id = $1)::text AS era,
    (SELECT position FROM syncline_owners WHERE owner_id = $1)::text AS position,
    ${MS("clock_timestamp()")} AS now`;

const AFTER = `
  SELECT pack, bytes::text, rows, state, position::text, ${MS("created_at")} AS created, ${MS("changed_at")} AS changed
  FROM syncline_packs WHERE owner_id = $1 AND position > $2 ORDER BY position FETCH FIRST ${PAGE_ENTRIES} ROWS WITH TIES`;

const begin = (eras: string) => `
  o AS (
    INSERT INTO syncline_owners AS w (owner_id, position) VALUES ($1, 1)
    ON CONFLICT (owner_id) DO UPDATE SET position = w.position + 1, era = w.era + ${eras}
    RETURNING position, era)`;

const ADD = `
  WITH ${begin("0")}
  INSERT INTO syncline_packs (owner_id, pack, bytes, rows, state, position, era, created_at, changed_at)
  SELECT $1, a.pack, a.bytes, a.rows, ${PACK_STATES.live}, o.position, o.era, clock_timestamp(), clock_timestamp()
  FROM o, unnest($2::text[], $3::bigint[], $4::int[]) AS a (pack, bytes, rows)
  WHERE extract(epoch FROM clock_timestamp()) * 1000 - $5::bigint <= $6::bigint
  ON CONFLICT DO NOTHING`;

/** Condemns packs only if all their replacements were added. */
const REPLACE = `
  WITH ${begin("1")}, n AS (
    INSERT INTO syncline_packs (owner_id, pack, bytes, rows, state, position, era, created_at, changed_at)
    SELECT $1, a.pack, a.bytes, a.rows, ${PACK_STATES.live}, o.position, o.era, clock_timestamp(), clock_timestamp()
    FROM o, unnest($2::text[], $3::bigint[], $4::int[]) AS a (pack, bytes, rows)
    WHERE extract(epoch FROM clock_timestamp()) * 1000 - $5::bigint <= $6::bigint
    ON CONFLICT DO NOTHING RETURNING pack)
  UPDATE syncline_packs AS p
  SET state = ${PACK_STATES.condemned}, position = o.position, era = o.era, changed_at = clock_timestamp()
  FROM o WHERE p.owner_id = $1 AND p.pack = ANY ($7::text[]) AND p.state = ${PACK_STATES.live}
    AND (SELECT count(*) FROM n) = cardinality($2::text[])`;

const RESTORE = `
  WITH ${begin("0")}
  UPDATE syncline_packs AS p SET state = ${PACK_STATES.live}, position = o.position, changed_at = clock_timestamp()
  FROM o WHERE p.owner_id = $1 AND p.pack = ANY ($2::text[]) AND p.state = ${PACK_STATES.condemned}`;

const DISOWN = `
  WITH ${begin("0")}
  INSERT INTO syncline_packs (owner_id, pack, bytes, rows, state, position, era, created_at, changed_at)
  SELECT $1, a.pack, 0, 0, ${PACK_STATES.gone}, o.position, o.era, clock_timestamp(), clock_timestamp()
  FROM o, unnest($2::text[]) AS a (pack)
  ON CONFLICT DO NOTHING`;

const IN_STATE = `
  SELECT pack FROM syncline_packs
  WHERE owner_id = $1 AND pack = ANY ($2::text[]) AND state = $3::smallint`;

const GIVE_UP = `
  WITH ${begin("0")}
  UPDATE syncline_packs AS p SET state = ${PACK_STATES.gone}, position = o.position, changed_at = clock_timestamp()
  FROM o WHERE p.owner_id = $1 AND p.pack = ANY ($2::text[]) AND p.state = ${PACK_STATES.condemned}
    AND p.changed_at < to_timestamp($3::double precision / 1000) AND p.era <= $4::bigint
  RETURNING p.pack`;

export class PostgresPacks implements PackLog {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async owners(): Promise<Wallet[]> {
    const rows = await this.#database.query<{ owner_id: Wallet }>("SELECT owner_id FROM syncline_owners ORDER BY 1");
    return rows.map(({ owner_id: owner }) => owner);
  }

  async after(owner: Wallet, position: number): Promise<LogPage> {
    // The era first: the entries read later hold at least everything that it began with.
    const [head] = await this.#database.query<Head>(HEAD, [owner]);
    const rows = await this.#database.query<EntryRow>(AFTER, [owner, position]);
    return {
      era: Number(head?.era ?? 1),
      entries: rows.map(entryOf),
      more: rows.length >= PAGE_ENTRIES,
      nowMs: Number(head?.now),
      position: Number(head?.position ?? 0),
    };
  }

  async change(owner: Wallet, { add, condemn, begunMs, patienceMs }: PackChange): Promise<ReadonlySet<string>> {
    const packs = add.map(({ pack }) => pack);
    const added = [packs, add.map(({ bytes }) => bytes), add.map(({ rows }) => rows), Math.floor(begunMs), patienceMs];
    if (condemn.length === 0) await this.#database.query(ADD, [owner, ...added]);
    else await this.#database.query(REPLACE, [owner, ...added, condemn]);
    return this.#live(owner, packs);
  }

  async restore(owner: Wallet, packs: readonly string[]): Promise<ReadonlySet<string>> {
    await this.#database.query(RESTORE, [owner, packs]);
    return this.#live(owner, packs);
  }

  async giveUp(
    owner: Wallet,
    packs: readonly string[],
    { beforeMs, era }: { beforeMs: number; era: number },
  ): Promise<string[]> {
    const rows = await this.#database.query<{ pack: string }>(GIVE_UP, [owner, packs, beforeMs, era]);
    return rows.map(({ pack }) => pack);
  }

  async disown(owner: Wallet, packs: readonly string[]): Promise<ReadonlySet<string>> {
    await this.#database.query(DISOWN, [owner, packs]);
    return this.#inState(PACK_STATES.gone, owner, packs);
  }

  #live(owner: Wallet, packs: readonly string[]): Promise<ReadonlySet<string>> {
    return this.#inState(PACK_STATES.live, owner, packs);
  }

  async #inState(state: PackState, owner: Wallet, packs: readonly string[]): Promise<ReadonlySet<string>> {
    if (packs.length === 0) return new Set();
    const rows = await this.#database.query<{ pack: string }>(IN_STATE, [owner, packs, state]);
    return new Set(rows.map(({ pack }) => pack));
  }
}

function entryOf({ pack, bytes, rows, state, position, created, changed }: EntryRow): LogEntry {
  return {
    pack,
    bytes: Number(bytes),
    rows,
    state,
    position: Number(position),
    createdMs: Number(created),
    changedMs: Number(changed),
  };
}
