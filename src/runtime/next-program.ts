/** A program that gets this word, and could take over a mount, prints the formats of states that it opens. */
export const NEXT_PROGRAM = "next-program";
