/**
 * Writes for an agent with its state's device. An agent may run longer than the device's certificate is valid, so the
 * certificate is renewed in its last month, and when the bucket refuses it.
 */
import { hasCode, SynclineError } from "../base/errors.ts";
import { timeText } from "../base/clock.ts";
import { failureOf } from "../base/failure.ts";
import { describeError, type Log } from "../base/log.ts";
import type { Writer } from "../bucket/publish/next-commit.ts";
import type { RenewableWriter } from "./publishing/renewable-writer.ts";
import { type Device, type DeviceSetup, isEnding, isRenewable, renewDevice, replaceDevice } from "./state/device.ts";

export interface CertifiedWriterOptions extends DeviceSetup {
  /** This machine's name for the history; undefined: none. */
  readonly machine: string | undefined;
  readonly log: Log;
}

/** How long a wallet that could not sign is not asked again. */
const AGAIN_MS = 60 * 60 * 1000;

export class CertifiedWriter implements RenewableWriter {
  readonly #options: CertifiedWriterOptions;
  #device: Device;
  /** Why the last renewal failed. */
  #trouble: SynclineError | undefined;
  #notBeforeMs = -Infinity;

  constructor(options: CertifiedWriterOptions, device: Device) {
    this.#options = options;
    this.#device = device;
  }

  get writer(): Writer {
    const { key, certificate } = this.#device;
    return { device: key, certificate, machine: this.#options.machine };
  }

  /** Publishes, once more if the bucket refuses the certificate. Throws as `publish`; `device_not_certified` says what to do. */
  async as<Result>(publish: (writer: Writer) => Promise<Result>): Promise<Result> {
    // Buckets without a master take expired certificates, so a failed renewal does not matter yet.
    if (isEnding(this.#device, this.#options.clock)) await this.#renew();
    try {
      return await publish(this.writer);
    } catch (error) {
      if (!hasCode(error, "device_not_certified")) throw error;
      await this.#recertify(error);
      return await publish(this.writer);
    }
  }

  async replace(): Promise<void> {
    this.#device = await replaceDevice(this.#options);
    this.#trouble = undefined;
  }

  async #recertify(refusal: SynclineError): Promise<void> {
    const { clock } = this.#options;
    const renewed = isRenewable(this.#device, clock) && (await this.#renew());
    if (renewed) return;
    const { message } = refusal;
    const trouble = this.#trouble;
    if (trouble === undefined) {
      const hint = `Check the clock of this machine, which says ${timeText(clock.nowNs())}, and the master's.`;
      throw new SynclineError("device_not_certified", message, { hint, cause: refusal });
    }
    throw new SynclineError("device_not_certified", `${message} Renewing it failed: ${trouble.message}`, {
      hint: "Restart the agent so that the owner's key can sign a new certificate. Unpublished data is kept here.",
      cause: trouble,
    });
  }

  /** Answers whether the device has a new certificate. */
  async #renew(): Promise<boolean> {
    const { clock, log } = this.#options;
    if (clock.monotonicMs() < this.#notBeforeMs) return false;
    try {
      this.#device = await renewDevice(this.#options, this.#device);
      this.#trouble = undefined;
      log.info("Renewed the device's certificate.");
      return true;
    } catch (error) {
      const trouble = failureOf(error);
      if (this.#trouble?.message !== trouble.message)
        log.warn(`The device's certificate was not renewed: ${describeError(error)}`);
      this.#trouble = trouble;
      this.#notBeforeMs = clock.monotonicMs() + AGAIN_MS;
      return false;
    }
  }
}
