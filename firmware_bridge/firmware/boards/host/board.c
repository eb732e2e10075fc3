/* The board "host": the firmware as a shared library, driven by tests and by firmware_bridge/simulator.py.
 * Time, flash and every sensor are the driver's; nothing here sleeps, blocks or asks the machine. */
#include "host.h"

#include <string.h>

#include "app.h"
#include "board.h"
#include "boot.h"
#include "photo.h" /* made by assets.py: photo_jpeg[], PHOTO_BYTES */

#define SLOT_BYTES (256 * 1024)
#define HUD_WIDTH 256
#define HUD_HEIGHT 128

/* What survives a reset. */
static struct {
    uint8_t slots[2][SLOT_BYTES];
    struct boot_record boot[2];
    enum reset_reason reason;
    char code[CODE_CHARS];
    uint32_t seed[4];
} flash;

static struct {
    uint64_t now_us, boot_us, mic_us;
    uint32_t mic_sample;
    uint8_t encoded[MIC_BYTES]; /* by the driver, taken once */
    size_t encoded_size;
    uint8_t hud[HUD_WIDTH * HUD_HEIGHT];
    struct msg_battery battery;
    bool muted, camera_fault, light, hung;
    int resets;
    const uint8_t *photo;
    uint32_t photo_size;
    const int16_t *sound; /* what the microphone hears, and silence after it; NULL: the saw-tooth */
    uint32_t sound_left;
} host;

static void (*heard_by)(const uint8_t *pcm, size_t size); /* stands before the speaker, also after a reset */

static uint64_t now_us(void) {
    return host.now_us - host.boot_us;
}

/* xorshift128 (Marsaglia, 2003): repeatable, so that a failing run can be run again. Not for keys outside of tests. */
static void random_bytes(uint8_t *out, size_t size) {
    for (size_t i = 0; i < size; i++) {
        uint32_t t = flash.seed[3] ^ flash.seed[3] << 11;
        memmove(flash.seed + 1, flash.seed, 3 * sizeof flash.seed[0]);
        flash.seed[0] ^= flash.seed[0] >> 19 ^ t ^ t >> 8;
        out[i] = (uint8_t)(flash.seed[0] >> 8);
    }
}

static enum reset_reason reset_reason(void) {
    return flash.reason;
}

static void feed_watchdog(void) {
}

static const char *pairing_code(void) {
    return flash.code[0] != '\0' ? flash.code : NULL;
}

/* What the driver lets sound, else a saw-tooth that never repeats within a second, so that a test can tell every sample. */
static bool mic_read(int16_t *pcm) {
    if (host.now_us < host.mic_us + 20000)
        return false;
    if (host.now_us - host.mic_us > 1000000)
        host.mic_us = host.now_us - 20000; /* it was off, or nobody polled for too long */
    host.mic_us += 20000;
    if (host.sound != NULL) {
        uint32_t n = host.sound_left < MIC_SAMPLES ? host.sound_left : MIC_SAMPLES;
        memset(pcm, 0, MIC_SAMPLES * sizeof *pcm);
        memcpy(pcm, host.sound, n * sizeof *pcm);
        host.sound += n;
        host.sound_left -= n;
        return true;
    }
    for (int i = 0; i < MIC_SAMPLES; i++)
        pcm[i] = (int16_t)(host.mic_sample++ * 31);
    return true;
}

/* This board has no encoder: the driver lays down what one would have made. */
static size_t mic_encoded(uint8_t codec, uint8_t *out) {
    size_t size = host.encoded_size;
    (void)codec;
    memcpy(out, host.encoded, size);
    host.encoded_size = 0;
    return size;
}

static void speaker_write(const uint8_t *pcm, size_t size) {
    if (heard_by != NULL)
        heard_by(pcm, size);
}

static bool capture(uint16_t width, uint16_t height, uint8_t quality, const uint8_t **jpeg, uint32_t *size) {
    (void)width;
    (void)height;
    (void)quality;
    *jpeg = host.photo;
    *size = host.photo_size;
    return !host.camera_fault;
}

static void capture_light(bool on) {
    host.light = on;
}

static void haptic(uint16_t duration_ms, uint8_t strength) {
    (void)duration_ms;
    (void)strength;
}

static void battery(struct msg_battery *out) {
    *out = host.battery;
}

static void imu(struct msg_imu *out) {
    out->acceleration_mg[2] = 1000;
    out->rotation_ddps[0] = (int16_t)(now_us() / 1000 % 3600);
}

static bool muted(void) {
    return host.muted;
}

static const uint8_t *slot(int number) {
    return flash.slots[number];
}

static bool slot_erase(int number) {
    memset(flash.slots[number], 0xff, SLOT_BYTES);
    return true;
}

static bool slot_write(int number, uint32_t offset, const uint8_t *data, size_t size) {
    if (offset > SLOT_BYTES || size > SLOT_BYTES - offset)
        return false;
    for (size_t i = 0; i < size; i++)
        if (flash.slots[number][offset + i] != 0xff)
            return false; /* as real flash: only erased bytes take any value */
    memcpy(flash.slots[number] + offset, data, size);
    return true;
}

static void boot_write(int copy, const struct boot_record *record) {
    flash.boot[copy] = *record;
}

static void reset(enum reset_reason reason) {
    flash.reason = reason;
    host.resets++;
}

void board_simulate(uint8_t what, int32_t value) {
    if (what == SIMULATED_BUTTON)
        app_button((uint8_t)(value >> 1), value & 1);
    else if (what == SIMULATED_TOUCH)
        app_touch((uint8_t)value);
    else if (what == SIMULATED_WORN)
        app_worn(value != 0);
    else if (what == SIMULATED_MUTE) {
        host.muted = value != 0;
        app_mute_changed();
    } else if (what == SIMULATED_BATTERY) {
        host.battery.percent = (uint8_t)value;
        app_battery_changed();
    } else if (what == SIMULATED_CAMERA_FAULT) {
        host.camera_fault = value != 0;
    } else if (what == SIMULATED_HANG) {
        host.hung = true;
    } else if (what == SIMULATED_BROWN_OUT) {
        reset(RESET_BROWN_OUT);
    }
}

const struct board board = {
    .name = "host",
    .capabilities = CAP_MICROPHONE | CAP_SPEAKER | CAP_CAMERA | CAP_HUD | CAP_HUD_READ | CAP_BUTTON | CAP_TOUCH | CAP_WORN |
                    CAP_IMU | CAP_BATTERY | CAP_HAPTIC | CAP_CAPTURE_LIGHT | CAP_MUTE_SWITCH | CAP_UPDATE | CAP_SIMULATED,
    .mic_rate_hz = 16000,
    .speaker_rate_hz = 16000,
    .mic_codecs = 1 << CODEC_OPUS | 1 << CODEC_LC3,
    .camera_width = 640,
    .camera_height = 480,
    .hud_width = HUD_WIDTH,
    .hud_height = HUD_HEIGHT,
    .hud_bits = 8,
    .hud = host.hud,
    .now_us = now_us,
    .random = random_bytes,
    .reset_reason = reset_reason,
    .reset = reset,
    .feed_watchdog = feed_watchdog,
    .pairing_code = pairing_code,
    .mic_read = mic_read,
    .mic_encoded = mic_encoded,
    .speaker_write = speaker_write,
    .capture = capture,
    .capture_light = capture_light,
    .haptic = haptic,
    .battery = battery,
    .imu = imu,
    .muted = muted,
    .slot_size = SLOT_BYTES,
    .slot = slot,
    .slot_erase = slot_erase,
    .slot_write = slot_write,
    .boot = flash.boot,
    .boot_write = boot_write,
};

/* What the driver calls. */

void host_new(uint32_t seed, const char *code) {
    memset(&flash, 0, sizeof flash);
    memset(flash.slots, 0xff, sizeof flash.slots);
    for (int i = 0; i < 4; i++)
        flash.seed[i] = seed * 2654435761u + (uint32_t)i * 40503u + 1u;
    if (code != NULL)
        strncpy(flash.code, code, CODE_CHARS - 1);
}

int host_boot(uint64_t at_us) {
    struct image image;
    int started = boot_choose(&image);
    memset(&host, 0, sizeof host);
    host.now_us = host.boot_us = host.mic_us = at_us;
    host.battery = (struct msg_battery){.percent = 87, .voltage_mv = 3920, .temperature_dc = 251};
    host.photo = photo_jpeg;
    host.photo_size = PHOTO_BYTES;
    app_init();
    return started;
}

void host_power_on(void) {
    flash.reason = RESET_POWER_ON;
}

int host_resets(void) {
    return host.resets;
}

void host_input(const uint8_t *data, size_t size, uint64_t at_us) {
    host.now_us = at_us;
    if (!host.hung)
        app_input(data, size);
}

size_t host_output(uint8_t *out, size_t room, uint64_t at_us) {
    host.now_us = at_us;
    if (host.hung)
        return 0;
    app_poll();
    return app_output(out, room);
}

void host_watchdog(void) {
    if (host.hung)
        reset(RESET_WATCHDOG);
}

void host_photo(const uint8_t *jpeg, uint32_t size) {
    host.photo = jpeg;
    host.photo_size = size;
}

void host_sound(const int16_t *pcm, uint32_t samples) {
    host.sound = pcm;
    host.sound_left = samples;
}

uint32_t host_sound_left(void) {
    return host.sound_left;
}

void host_heard_by(void (*listener)(const uint8_t *pcm, size_t size)) {
    heard_by = listener;
}

int host_mic(const uint8_t *encoded, size_t size) {
    if (host.encoded_size > 0 || size > sizeof host.encoded)
        return 0;
    memcpy(host.encoded, encoded, size);
    host.encoded_size = size;
    return 1;
}

void host_flash(int number, const uint8_t *image, size_t size) {
    slot_erase(number);
    memcpy(flash.slots[number], image, size);
}

const uint8_t *host_slot(int number) {
    return flash.slots[number];
}

const uint8_t *host_hud(void) {
    return host.hud;
}

int host_light(void) {
    return host.light;
}

void host_counters(uint32_t out[6]) {
    const struct link *link = app_link();
    out[0] = link->decoder.bad;
    out[1] = link->forged;
    out[2] = link->malformed;
    out[3] = link->repeated;
    out[4] = link->sessions;
    out[5] = link->up;
}
