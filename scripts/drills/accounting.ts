/**
 * What became of versions that are nowhere any more, and that nobody replaced knowingly: an operation may hit what others put
 * there at that very moment. The bucket's history tells: the version was at the operation's name, and the commit with the
 * operation is the one that has it no more.
 *
 * A file that an operation touches before it reads it stays as it was read until the agent publishes the touch: others' versions
 * come only with a commit of its own.
 */

/** What is read here of a line of churn.py, and whose it is. */
export interface Operation {
  readonly by: string;
  /** In seconds since 1970. */
  readonly began: number;
  readonly t: number;
  readonly raced: readonly string[];
  readonly touched: readonly string[];
}

/** What is read here of a line of `syncline log --json`. */
export interface TimedCommit {
  readonly root: string;
  readonly seq: number;
  readonly writer: string;
  readonly time: string;
}

/** What is read here of a folder as census.py prints it: path → what is there. */
export type Tokens = ReadonlyMap<string, { readonly tokens: readonly string[] }>;

export interface Course {
  readonly operations: readonly Operation[];
  readonly commits: readonly TimedCommit[];
  readonly writers: ReadonlyMap<string, string>;
  readonly treeAt: (root: string) => Tokens;
}

/** A name that an operation hit, and the commits that may have it. */
interface Hit {
  readonly name: string | undefined;
  readonly after: readonly number[];
}

/** Commits of one agent after an operation ended of which one has it: one was on its way, the next one took it in. */
const COMMITS_AFTER = 2;
/** Older trees where a version may be at its name: others may have moved it since. */
const TREES_BEFORE = 5;

/**
 * The tokens that no operation explains. `operations`: the lines of churn.py with `by`; `commits`: as `syncline log` prints them;
 * `writers`: name of the agent → its writer in the log; `treeAt`: root → the census of its tree.
 */
export function unexplained(tokens: readonly string[], { operations, commits, writers, treeAt }: Course): string[] {
  const oldestFirst = [...commits].sort((a, b) => a.seq - b.seq);
  const holds = (index: number, token: string, name?: string) =>
    [...treeAt(commitAt(index).root)].some(
      ([path, about]) => about.tokens.includes(token) && (name === undefined || path.split("/").at(-1) === name),
    );
  const hits = operations.flatMap(({ by, began, t, raced, touched }) => {
    const own = commitsOf(writers.get(by), began);
    const during = own.filter((index) => timeOf(index) <= Math.ceil(t * 1000)).length;
    const paths = new Set([...raced, ...(during > 0 ? touched : [])]);
    return [...paths].map((path) => ({ name: path.split("/").at(-1), after: own.slice(0, during + COMMITS_AFTER) }));
  });
  return tokens.filter((token) => !hits.some((hit) => explains(token, hit)));

  function commitAt(index: number): TimedCommit {
    const commit = oldestFirst[index];
    if (commit === undefined) throw new Error(`there is no commit ${index}`);
    return commit;
  }

  function commitsOf(writer: string | undefined, began: number) {
    return [...oldestFirst.keys()].filter(
      (index) => commitAt(index).writer === writer && timeOf(index) >= Math.floor(began * 1000),
    );
  }

  function timeOf(index: number) {
    return Date.parse(commitAt(index).time);
  }

  function explains(token: string, { name, after }: Hit) {
    return after.some((index) => {
      if (index === 0 || holds(index, token) || !holds(index - 1, token)) return false;
      for (let at = index - 1; at >= Math.max(0, index - TREES_BEFORE); at--) if (holds(at, token, name)) return true;
      return false;
    });
  }
}
