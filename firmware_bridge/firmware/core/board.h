/* What a board is: one table of it, filled in by boards/NAME/board.c. The core calls nothing else of the hardware. */
#ifndef BOARD_H
#define BOARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol.h"

#define MIC_SAMPLES 320 /* 20 ms at 16 kHz */
#define MIC_BYTES (MIC_SAMPLES * 2)

struct boot_record;

struct board {
    const char *name;
    uint32_t capabilities;
    uint16_t mic_rate_hz, speaker_rate_hz;
    uint16_t mic_codecs; /* bits 1 << codec beside PCM16, which every microphone has; 0: no encoder */
    uint16_t camera_width, camera_height;
    uint16_t hud_width, hud_height;
    uint8_t hud_bits;
    uint8_t *hud; /* one byte a pixel, hud_width * hud_height of them; the board shows what stands there */

    uint64_t (*now_us)(void); /* steady since boot */
    void (*random)(uint8_t *out, size_t size);
    enum reset_reason (*reset_reason)(void);
    void (*reset)(enum reset_reason reason); /* does not return on hardware */
    void (*feed_watchdog)(void);

    const char *(*pairing_code)(void); /* NULL: an open link */
    bool (*mic_read)(int16_t *pcm);    /* MIC_SAMPLES of them; false: not yet */
    size_t (*mic_encoded)(uint8_t codec, uint8_t *out); /* 20 ms of one of mic_codecs, 0: not yet; out has MIC_BYTES */
    void (*speaker_write)(const uint8_t *pcm, size_t size);
    bool (*capture)(uint16_t width, uint16_t height, uint8_t quality, const uint8_t **jpeg, uint32_t *size);
    void (*capture_light)(bool on);
    void (*haptic)(uint16_t duration_ms, uint8_t strength);
    void (*battery)(struct msg_battery *out);
    void (*imu)(struct msg_imu *out);
    bool (*muted)(void);

    /* Flash of the firmware slots; NULL without CAP_UPDATE. Writing needs erased bytes; both return false on failure. */
    uint32_t slot_size;
    const uint8_t *(*slot)(int slot); /* memory-mapped, slot_size bytes */
    bool (*slot_erase)(int slot);
    bool (*slot_write)(int slot, uint32_t offset, const uint8_t *data, size_t size);
    const struct boot_record *boot; /* two copies, see boot.h */
    void (*boot_write)(int copy, const struct boot_record *record);
};

extern const struct board board;

#endif
