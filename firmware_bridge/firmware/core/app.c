#include "app.h"

#include <string.h>

#include "app_parts.h"
#include "hud.h"
#include "update.h"

#define HEARTBEAT_US 1000000
#define BATTERY_US 10000000
#define ROOM_FOR_OTHERS 8 /* messages of the bulk channel that a photo leaves free */
#define FIRMWARE_VERSION {FIRMWARE_MAJOR, FIRMWARE_MINOR, FIRMWARE_PATCH}

struct app app;

bool app_send(uint8_t channel, uint8_t id, const void *fields, size_t size, const uint8_t *tail, size_t tail_size) {
    static uint8_t message[MAX_MESSAGE];
    if (1 + size + tail_size > MAX_MESSAGE)
        return false;
    message[0] = id;
    memcpy(message + 1, fields, size);
    if (tail_size > 0)
        memcpy(message + 1 + size, tail, tail_size);
    return link_send(&app.link, channel, message, 1 + size + tail_size);
}

void app_result(uint8_t message, uint8_t status) {
    struct msg_result out = {.message = message, .status = status};
    SEND(CHANNEL_CONTROL, MSG_RESULT, out, NULL, 0);
}

/* What the device tells. */

void app_log(uint8_t level, const char *text) {
    struct msg_log out = {.level = level};
    SEND(CHANNEL_BULK, MSG_LOG, out, (const uint8_t *)text, strlen(text));
}

void app_button(uint8_t button, bool pressed) {
    struct msg_button out = {.t_us = board.now_us(), .button = button, .pressed = pressed};
    SEND(CHANNEL_CONTROL, MSG_BUTTON, out, NULL, 0);
}

void app_touch(uint8_t gesture) {
    struct msg_touch out = {.t_us = board.now_us(), .gesture = gesture};
    SEND(CHANNEL_CONTROL, MSG_TOUCH, out, NULL, 0);
}

void app_worn(bool worn) {
    struct msg_worn out = {.t_us = board.now_us(), .worn = worn};
    SEND(CHANNEL_CONTROL, MSG_WORN, out, NULL, 0);
}

void app_mute_changed(void) {
    struct msg_mute out = {.muted = board.muted()};
    SEND(CHANNEL_CONTROL, MSG_MUTE, out, NULL, 0);
}

void app_battery_changed(void) {
    struct msg_battery out = {0};
    board.battery(&out);
    app.battery_us = board.now_us() + BATTERY_US;
    SEND(CHANNEL_CONTROL, MSG_BATTERY, out, NULL, 0);
}

void app_send_info(void) {
    struct msg_info out = {
        .protocol_version = PROTOCOL_VERSION,
        .reset_reason = (uint8_t)board.reset_reason(),
        .slot = update_slot(),
        .confirmed = update_confirmed(),
        .capabilities = board.capabilities,
        .codecs = 1 << CODEC_PCM16 | board.mic_codecs,
        .mic_rate_hz = board.mic_rate_hz,
        .speaker_rate_hz = board.speaker_rate_hz,
        .camera_width = board.camera_width,
        .camera_height = board.camera_height,
        .hud_width = board.hud_width,
        .hud_height = board.hud_height,
        .hud_bits = board.hud_bits,
        .window = LINK_SLOTS,
        .firmware_version = FIRMWARE_VERSION,
    };
    memcpy(out.board, board.name, strlen(board.name));
    SEND(CHANNEL_CONTROL, MSG_INFO, out, NULL, 0);
}

static void send_heartbeat(void) {
    struct msg_heartbeat out = {
        .uptime_ms = (uint32_t)(board.now_us() / 1000),
        .faults = app.faults,
        .crc_errors = app.link.decoder.bad,
        .forged = app.link.forged,
        .repeated = app.link.repeated,
        .audio_shed = app.audio_shed,
        .speaker_bytes = app.speaker_bytes,
        .speaker_crc32 = app.speaker_crc32,
        .haptic_ms = app.haptic_ms,
        .capture_light = app.light,
    };
    SEND(CHANNEL_CONTROL, MSG_HEARTBEAT, out, NULL, 0);
}

void app_send_setting(uint8_t setting) {
    struct msg_setting out = {.setting = setting, .value = app.settings[setting]};
    SEND(CHANNEL_CONTROL, MSG_SETTING, out, NULL, 0);
}

void app_light(bool on) {
    app.light = on;
    board.capture_light(on);
}

void app_end_photo(uint8_t status) {
    struct msg_photo_end out = {.request = app.photo.request, .status = status};
    if (status == STATUS_OK)
        out.crc32 = crc32_update(0, app.photo.jpeg, app.photo.size);
    if (SEND(CHANNEL_BULK, MSG_PHOTO_END, out, NULL, 0)) {
        app.photo.active = false;
        app_light(app.mic);
    }
}

static void poll_photo(void) {
    while (app.photo.active && link_room(&app.link, CHANNEL_BULK) > ROOM_FOR_OTHERS) {
        struct msg_photo_chunk out = {.request = app.photo.request, .offset = app.photo.offset};
        uint32_t left = app.photo.size - app.photo.offset, most = MAX_MESSAGE - 1 - sizeof out;
        if (left == 0) {
            app_end_photo(STATUS_OK);
            return;
        }
        uint32_t size = left < most ? left : most;
        SEND(CHANNEL_BULK, MSG_PHOTO_CHUNK, out, app.photo.jpeg + app.photo.offset, size);
        app.photo.offset += size;
    }
}

static size_t mic_read(uint8_t *out) {
    if (app.mic_codec != CODEC_PCM16)
        return board.mic_encoded(app.mic_codec, out);
    int16_t pcm[MIC_SAMPLES];
    if (!board.mic_read(pcm))
        return 0;
    memcpy(out, pcm, sizeof pcm);
    return sizeof pcm;
}

static void poll_mic(void) {
    uint8_t sound[MIC_BYTES];
    size_t size;
    while (app.mic && (size = mic_read(sound)) > 0) {
        struct msg_audio out = {.t_us = board.now_us() - 20000, .seq = app.mic_seq++, .codec = app.mic_codec};
        if (board.muted())
            continue;
        if (!app.link.up || !SEND(CHANNEL_AUDIO, MSG_AUDIO, out, sound, size))
            app.audio_shed++;
    }
}

static void poll_imu(uint64_t now_us) {
    if (app.imu_rate_hz == 0 || now_us < app.imu_us)
        return;
    struct msg_imu out = {0};
    board.imu(&out);
    out.t_us = now_us;
    app.imu_us = now_us + 1000000 / app.imu_rate_hz;
    SEND(CHANNEL_AUDIO, MSG_IMU, out, NULL, 0);
}

void app_init(void) {
    memset(&app, 0, sizeof app);
    const char *code = board.pairing_code();
    struct link_config config = {.random = board.random, .message = app_on_message};
    if (code != NULL) {
        secure_key(code, app.key);
        config.key = app.key;
    }
    for (int i = 0; i < SETTINGS; i++)
        app.settings[i] = 50;
    link_init(&app.link, &config);
    if (board.capabilities & CAP_HUD) {
        hud_clear();
        if (code != NULL) {
            hud_text(4, 4, 255, (const uint8_t *)"Pairing code", 12);
            hud_text(4, 20, 255, (const uint8_t *)code, strlen(code));
        }
    }
    app_log(1, board.reset_reason() == RESET_BROWN_OUT ? "reset: brown-out" : "started");
}

const struct link *app_link(void) {
    return &app.link;
}

void app_input(const uint8_t *data, size_t size) {
    link_input(&app.link, data, size, board.now_us());
    if (app.link.sessions != app.sessions) {
        if (app.sessions == 0 && board.pairing_code() != NULL && board.capabilities & CAP_HUD)
            hud_clear(); /* whoever has just come knows the code */
        app.sessions = app.link.sessions;
        app_battery_changed();
        app_mute_changed();
    }
}

size_t app_output(uint8_t *out, size_t room) {
    return link_output(&app.link, out, room, board.now_us());
}

void app_poll(void) {
    uint64_t now_us = board.now_us();
    board.feed_watchdog();
    poll_mic();
    poll_photo();
    if (!app.link.up)
        return;
    poll_imu(now_us);
    update_poll(now_us);
    if (now_us >= app.heartbeat_us) {
        app.heartbeat_us = now_us + HEARTBEAT_US;
        send_heartbeat();
    }
    if (now_us >= app.battery_us)
        app_battery_changed();
}
