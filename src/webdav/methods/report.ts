/** REPORT: sync-collection (RFC 6578), which reports what changed in a folder since the client's last look. */
import type { FileName, Ino } from "../../base/ids.ts";
import { TimeSlice } from "../../base/time-slice.ts";
import type { FileSystem } from "../../vfs/filesystem.ts";
import type { Call } from "../call.ts";
import { encodePath } from "../href.ts";
import { DAV_SLICE_MS, MAX_DAV_XML_BYTES } from "../limits.ts";
import type { Shown } from "../properties/live-properties.ts";
import { Multistatus, statusResponse } from "../xml/multistatus.ts";
import { lookUpPath, isFolder, type ResolvedPath } from "../../files/resolved-path.ts";
import { present } from "./path-checks.ts";
import { checkPreconditions } from "../locks/preconditions.ts";
import { type Listed, listing, responseNow, surroundings } from "./propfind.ts";
import { namesIn, responder } from "../properties/property-request.ts";
import { loop, Refusal } from "../refusal.ts";
import { readWhole } from "../request-body.ts";
import { AnswerToken, type SyncSource } from "../sync-source.ts";
import { isTemporary } from "../../files/temporary-name.ts";
import { elementsOf, isDav, readXml, textOf, type XmlElement } from "../xml/xml-reader.ts";
import { escapeText } from "../xml/xml-text.ts";

type Path = readonly FileName[];

export async function report(call: Call): Promise<void> {
  const { access, href, syncToken } = call;
  const root = readXml(await readWhole(call, MAX_DAV_XML_BYTES));
  const place = await access.run((fs) => {
    const found = lookUpPath(fs, href.path, "follow");
    checkPreconditions(call, fs, found);
    return present(found);
  });
  if (syncToken === undefined || !isDav(root, "sync-collection") || !isFolder(place.attributes)) {
    throw new Refusal(403, "The only supported report is sync-collection, on folders.", {
      condition: "supported-report",
    });
  }
  // The sync-level selects what is reported (RFC 6578, section 3.2).
  if ((call.request.headers["depth"] ?? "0") !== "0")
    throw new Refusal(400, "The Depth of a sync-collection must be 0.");
  const asked = parse(root);
  if (asked.token === "") await sendAll(call, syncToken, place, asked);
  else await sendChanges(call, syncToken, place, asked);
}

interface Asked {
  readonly token: string;
  readonly isDeep: boolean;
  readonly limit: number;
  readonly names: ReturnType<typeof namesIn>;
}

function parse(root: XmlElement): Asked {
  const [token] = elementsOf(root, "sync-token");
  const [level] = elementsOf(root, "sync-level");
  const [prop] = elementsOf(root, "prop");
  const [limit] = elementsOf(root, "limit").flatMap((element) => elementsOf(element, "nresults"));
  const depth = level === undefined ? "1" : textOf(level).trim();
  if (token === undefined || prop === undefined || !/^(1|infinite)$/.test(depth)) {
    throw new Refusal(400, "A sync-collection element needs a sync-token, a sync-level of 1 or infinite, and a prop.");
  }
  const most = limit === undefined ? Infinity : Number(textOf(limit));
  if (!(most > 0)) throw new Refusal(400, "A limit must be a number above 0.");
  return { token: textOf(token).trim(), isDeep: depth === "infinite", limit: most, names: namesIn([prop]) };
}

/** Sends the responses while they are generated. */
class Responses {
  readonly #call: Call;
  readonly #answer: Multistatus;
  readonly #respond: ReturnType<typeof responder>;
  readonly #results: Results;
  readonly #token: AnswerToken;
  #current: Path = [];

  constructor(call: Call, { names, limit }: Asked, token: AnswerToken) {
    this.#call = call;
    this.#token = token;
    this.#answer = new Multistatus(call);
    this.#results = new Results(limit);
    this.#respond = responder(
      { kind: "named", names },
      surroundings(call, () => this.#current),
    );
  }

  /** Something that was listed; nothing if it is gone. */
  async member({ href, path, folder, shown }: Member): Promise<void> {
    const xml = await this.#look(path, (fs) =>
      responseNow(fs, folder, path.slice(0, -1), shown, (now) => this.#response(fs, href, now)),
    );
    if (xml !== "") await this.#add(xml);
  }

  /** What is at the path now. */
  async changed(href: Path, path: Path): Promise<void> {
    await this.#add(
      await this.#look(path, (fs) => {
        const attributes = lookUpPath(fs, path, "follow")?.attributes;
        if (attributes === undefined) return statusResponse(encodePath(href, false), 404);
        return this.#response(fs, href, { name: path.at(-1), attributes });
      }),
    );
  }

  #response(fs: FileSystem, href: Path, shown: Shown): string {
    return this.#respond(fs, encodePath(href, isFolder(shown.attributes)), shown);
  }

  /** `path`: where the locks are. */
  #look(path: Path, respond: (fs: FileSystem) => string): Promise<string> {
    return this.#call.access.run((fs) => {
      this.#current = path;
      this.#token.look();
      return respond(fs);
    });
  }

  end(): Promise<void> {
    return this.#answer.end(`<D:sync-token>${escapeText(this.#token.text)}</D:sync-token>`);
  }

  /** If results were added since they were counted, the answer is cut off. */
  #add(xml: string): Promise<void> {
    this.#results.add(1);
    return this.#answer.add(xml);
  }
}

/** Counts results up to the client's limit. They are counted before the first is sent: to hold them could take gigabytes. */
class Results {
  readonly #limit: number;
  #count = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Throws a Refusal, 507. */
  add(more: number): void {
    this.#count += more;
    if (this.#count <= this.#limit) return;
    throw new Refusal(507, "There are more results than the limit.", { condition: "number-of-matches-within-limits" });
  }
}

interface Member {
  readonly href: Path;
  readonly path: Path;
  readonly folder: Ino;
  readonly shown: Listed;
}

/** The first sync: everything in the folder. */
async function sendAll(call: Call, source: SyncSource, place: ResolvedPath, asked: Asked): Promise<void> {
  if (asked.limit !== Infinity) {
    const results = new Results(asked.limit);
    const pace = new TimeSlice(call.clock, DAV_SLICE_MS);
    for await (const members of everything(call, place, asked, () => {})) {
      results.add(members.length);
      await pace.breathe();
    }
  }
  const token = new AnswerToken(source, source.token());
  const responses = new Responses(call, asked, token);
  for await (const members of everything(call, place, asked, () => token.look()))
    for (const member of members) await responses.member(member);
  await responses.end();
}

/** A folder that is reported with everything in it. */
interface Below {
  readonly ino: Ino;
  readonly path: Path;
  readonly href: Path;
  readonly around: Below | undefined;
}

/**
 * Everything in the folder, in batches. `look` is called before each folder is read. Throws a Refusal for a folder that
 * lies in itself.
 */
async function* everything(
  call: Call,
  place: ResolvedPath,
  { isDeep }: Asked,
  look: () => void,
): AsyncGenerator<Member[]> {
  const folders: Below[] = [
    { ino: present(place).attributes.ino, path: place.path, href: call.href.path, around: undefined },
  ];
  for (let at = folders.pop(); at !== undefined; at = folders.pop()) {
    const { ino, path, href } = at;
    look();
    for await (const entries of listing(call.access, ino, path)) {
      yield entries.map((shown) => ({ href: [...href, shown.name], path: [...path, shown.name], folder: ino, shown }));
      // A link may lead into a cycle.
      for (const { name, attributes, isLink } of isDeep ? entries : [])
        if (isFolder(attributes) && !isLink) {
          for (let around: Below | undefined = at; around !== undefined; around = around.around)
            if (around.ino === attributes.ino) throw loop();
          folders.push({ ino: attributes.ino, path: [...path, name], href: [...href, name], around: at });
        }
    }
  }
}

async function sendChanges(call: Call, source: SyncSource, place: ResolvedPath, asked: Asked): Promise<void> {
  const changes = await source.changesSince(asked.token);
  if (changes === undefined) {
    throw new Refusal(403, "This sync token is no longer valid. Start over without a token.", {
      condition: "valid-sync-token",
    });
  }
  const { href } = call;
  const depth = place.path.length;
  const results = new Results(asked.limit);
  const paths = changes.paths.filter((path) => {
    const isIn = path.length > depth && place.path.every((name, index) => path[index] === name);
    return isIn && (asked.isDeep || path.length === depth + 1) && !path.some(isTemporary);
  });
  results.add(paths.length);
  const responses = new Responses(call, asked, new AnswerToken(source, changes.token));
  for (const path of paths) await responses.changed([...href.path, ...path.slice(depth)], path);
  await responses.end();
}
