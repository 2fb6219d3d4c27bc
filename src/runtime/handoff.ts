/** The environment variable in which the supervisor tells a new agent what was agreed, or that it is a service's first. */
export const HANDOFF = "SYNCLINE_HANDOFF";
