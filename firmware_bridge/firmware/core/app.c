#include "app.h"

#include <string.h>

#include "hud.h"
#include "update.h"

#define HEARTBEAT_US 1000000
#define BATTERY_US 10000000
#define MAX_IMU_HZ 200
#define ROOM_FOR_OTHERS 8 /* messages of the bulk channel that a photo leaves free */
#define FIRMWARE_VERSION {FIRMWARE_MAJOR, FIRMWARE_MINOR, FIRMWARE_PATCH}

#define SEND(channel, id, fields, tail, tail_size) send_message(channel, id, &(fields), sizeof(fields), tail, tail_size)

static struct {
    struct link link;
    uint8_t key[KEY_BYTES];
    uint32_t sessions; /* of the link, as last seen */
    uint64_t heartbeat_us, battery_us, imu_us;
    bool mic, light;
    uint32_t mic_seq, audio_shed;
    uint16_t imu_rate_hz;
    uint32_t speaker_bytes, speaker_crc32, haptic_ms, faults;
    int32_t settings[SETTINGS];
    struct {
        bool active;
        uint16_t request;
        const uint8_t *jpeg;
        uint32_t size, offset;
    } photo;
} app;

static bool send_message(uint8_t channel, uint8_t id, const void *fields, size_t size, const uint8_t *tail, size_t tail_size) {
    static uint8_t message[MAX_MESSAGE];
    if (1 + size + tail_size > MAX_MESSAGE)
        return false;
    message[0] = id;
    memcpy(message + 1, fields, size);
    if (tail_size > 0)
        memcpy(message + 1 + size, tail, tail_size);
    return link_send(&app.link, channel, message, 1 + size + tail_size);
}

static void result(uint8_t message, uint8_t status) {
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

static void send_info(void) {
    struct msg_info out = {
        .protocol_version = PROTOCOL_VERSION,
        .reset_reason = (uint8_t)board.reset_reason(),
        .slot = update_slot(),
        .confirmed = update_confirmed(),
        .capabilities = board.capabilities,
        .codecs = 1 << CODEC_PCM16,
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

static void send_setting(uint8_t setting) {
    struct msg_setting out = {.setting = setting, .value = app.settings[setting]};
    SEND(CHANNEL_CONTROL, MSG_SETTING, out, NULL, 0);
}

static void light(bool on) {
    app.light = on;
    board.capture_light(on);
}

static void end_photo(uint8_t status) {
    struct msg_photo_end out = {.request = app.photo.request, .status = status};
    if (status == STATUS_OK)
        out.crc32 = crc32_update(0, app.photo.jpeg, app.photo.size);
    if (SEND(CHANNEL_BULK, MSG_PHOTO_END, out, NULL, 0)) {
        app.photo.active = false;
        light(app.mic);
    }
}

static void poll_photo(void) {
    while (app.photo.active && link_room(&app.link, CHANNEL_BULK) > ROOM_FOR_OTHERS) {
        struct msg_photo_chunk out = {.request = app.photo.request, .offset = app.photo.offset};
        uint32_t left = app.photo.size - app.photo.offset, most = MAX_MESSAGE - 1 - sizeof out;
        if (left == 0) {
            end_photo(STATUS_OK);
            return;
        }
        uint32_t size = left < most ? left : most;
        SEND(CHANNEL_BULK, MSG_PHOTO_CHUNK, out, app.photo.jpeg + app.photo.offset, size);
        app.photo.offset += size;
    }
}

static void poll_mic(void) {
    int16_t pcm[MIC_SAMPLES];
    while (app.mic && board.mic_read(pcm)) {
        struct msg_audio out = {.t_us = board.now_us() - 20000, .seq = app.mic_seq++, .codec = CODEC_PCM16};
        if (board.muted())
            continue;
        if (!app.link.up || !SEND(CHANNEL_AUDIO, MSG_AUDIO, out, (const uint8_t *)pcm, sizeof pcm))
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

/* What the host asks. */

static void on_capture(const uint8_t *fields) {
    struct msg_capture in;
    memcpy(&in, fields, sizeof in);
    struct msg_photo out = {.request = in.request};
    struct msg_photo_end end = {.request = in.request, .status = STATUS_OK};
    if (app.photo.active)
        end.status = STATUS_BUSY;
    else if (!(board.capabilities & CAP_CAMERA))
        end.status = STATUS_UNSUPPORTED;
    else if (in.quality == 0 || in.quality > 100 || in.width > board.camera_width || in.height > board.camera_height)
        end.status = STATUS_BAD_VALUE;
    if (end.status == STATUS_OK) {
        light(true);
        out.t_us = board.now_us();
        if (!board.capture(in.width, in.height, in.quality, &app.photo.jpeg, &app.photo.size)) {
            end.status = STATUS_FAULT;
            app.faults++;
            light(app.mic);
        }
    }
    if (end.status != STATUS_OK) {
        SEND(CHANNEL_BULK, MSG_PHOTO_END, end, NULL, 0);
        return;
    }
    app.photo.active = true;
    app.photo.request = in.request;
    app.photo.offset = 0;
    out.size = app.photo.size;
    out.width = in.width;
    out.height = in.height;
    SEND(CHANNEL_BULK, MSG_PHOTO, out, NULL, 0);
}

static void on_hud_read(const uint8_t *fields) {
    struct msg_hud_read in;
    memcpy(&in, fields, sizeof in);
    struct msg_hud_data out = {.offset = in.offset};
    uint32_t all = (uint32_t)board.hud_width * board.hud_height;
    if (in.offset >= all) {
        result(MSG_HUD_READ, STATUS_BAD_VALUE);
        return;
    }
    uint32_t left = all - in.offset;
    SEND(CHANNEL_BULK, MSG_HUD_DATA, out, board.hud + in.offset, left < 640 ? left : 640);
}

static void on_setting_set(const uint8_t *fields) {
    struct msg_setting_set in;
    memcpy(&in, fields, sizeof in);
    if (in.setting >= SETTINGS || in.value < 0 || in.value > 100) {
        result(MSG_SETTING_SET, STATUS_BAD_VALUE);
        return;
    }
    app.settings[in.setting] = in.value;
    send_setting(in.setting);
}

static uint8_t on_mic(const uint8_t *fields) {
    if (!(board.capabilities & CAP_MICROPHONE) || fields[1] != CODEC_PCM16)
        return STATUS_UNSUPPORTED;
    app.mic = fields[0] != 0;
    light(app.mic || app.photo.active);
    return app.mic && board.muted() ? STATUS_MUTED : STATUS_OK;
}

static uint8_t on_speak(const uint8_t *fields, size_t size) {
    size_t head = sizeof(struct msg_speak);
    if (!(board.capabilities & CAP_SPEAKER) || fields[4] != CODEC_PCM16)
        return STATUS_UNSUPPORTED;
    app.speaker_bytes += (uint32_t)(size - head);
    app.speaker_crc32 = crc32_update(app.speaker_crc32, fields + head, size - head);
    board.speaker_write(fields + head, size - head);
    return STATUS_OK;
}

static uint8_t on_haptic(const uint8_t *fields) {
    struct msg_haptic in;
    memcpy(&in, fields, sizeof in);
    app.haptic_ms += in.duration_ms;
    board.haptic(in.duration_ms, in.strength);
    return STATUS_OK;
}

static uint8_t on_imu_rate(const uint8_t *fields) {
    struct msg_imu_rate in;
    memcpy(&in, fields, sizeof in);
    if (in.rate_hz > MAX_IMU_HZ)
        return STATUS_BAD_VALUE;
    app.imu_rate_hz = in.rate_hz;
    return STATUS_OK;
}

static void on_smp(const uint8_t *request, size_t size) {
    static uint8_t response[MAX_MESSAGE - 1 - sizeof(struct msg_smp)];
    struct msg_smp out = {0};
    size_t used = update_request(request, size, response, sizeof response);
    if (used > 0)
        SEND(CHANNEL_BULK, MSG_SMP, out, response, used);
}

void board_simulate(uint8_t what, int32_t value); /* of a board with CAP_SIMULATED */

static uint8_t on_simulate(const uint8_t *fields) {
    struct msg_simulate in;
    memcpy(&in, fields, sizeof in);
#ifdef BOARD_SIMULATED
    board_simulate(in.what, in.value);
    return STATUS_OK;
#else
    return STATUS_UNSUPPORTED;
#endif
}

/* The size of a message's fixed part, -1 for one that the host may not send; bit 12 says that free bytes may follow. */
static int layout_of(uint8_t id) {
    enum { TAIL = 0x1000 };
    switch (id) {
    case MSG_INFO_GET:
    case MSG_HUD_CLEAR: return 0;
    case MSG_MIC: return sizeof(struct msg_mic);
    case MSG_SPEAK: return sizeof(struct msg_speak) | TAIL;
    case MSG_CAPTURE: return sizeof(struct msg_capture);
    case MSG_CAPTURE_STOP: return sizeof(struct msg_capture_stop);
    case MSG_HUD_TEXT: return sizeof(struct msg_hud_text) | TAIL;
    case MSG_HUD_BITMAP: return sizeof(struct msg_hud_bitmap) | TAIL;
    case MSG_HUD_READ: return sizeof(struct msg_hud_read);
    case MSG_HAPTIC: return sizeof(struct msg_haptic);
    case MSG_CAPTURE_LIGHT: return sizeof(struct msg_capture_light);
    case MSG_IMU_RATE: return sizeof(struct msg_imu_rate);
    case MSG_SETTING_GET: return sizeof(struct msg_setting_get);
    case MSG_SETTING_SET: return sizeof(struct msg_setting_set);
    case MSG_SIMULATE: return sizeof(struct msg_simulate);
    case MSG_SMP: return sizeof(struct msg_smp) | TAIL;
    default: return -1;
    }
}

static void on_hud(uint8_t id, const uint8_t *fields, size_t size) {
    const struct msg_hud_text *text = (const struct msg_hud_text *)fields;
    const struct msg_hud_bitmap *bitmap = (const struct msg_hud_bitmap *)fields;
    uint8_t status = STATUS_OK;
    if (!(board.capabilities & CAP_HUD))
        status = STATUS_UNSUPPORTED;
    else if (id == MSG_HUD_CLEAR)
        hud_clear();
    else if (id == MSG_HUD_TEXT)
        hud_text(text->x, text->y, text->level, text->data, size - sizeof *text);
    else if (!hud_bitmap(bitmap, size - sizeof *bitmap))
        status = STATUS_BAD_VALUE;
    result(id, status);
}

static void on_message(void *context, uint8_t channel, const uint8_t *message, size_t size) {
    uint8_t id = message[0];
    const uint8_t *fields = message + 1;
    int layout = layout_of(id);
    (void)context;
    (void)channel;
    size -= 1;
    if (layout < 0 || size < (size_t)(layout & 0xfff) || (size > (size_t)(layout & 0xfff) && !(layout & 0x1000))) {
        app.link.malformed++;
        result(id, STATUS_UNSUPPORTED);
        return;
    }
    switch (id) {
    case MSG_INFO_GET: send_info(); break;
    case MSG_MIC: result(id, on_mic(fields)); break;
    case MSG_SPEAK:
        if (on_speak(fields, size) != STATUS_OK)
            result(id, STATUS_UNSUPPORTED);
        break;
    case MSG_CAPTURE: on_capture(fields); break;
    case MSG_CAPTURE_STOP:
        if (app.photo.active)
            end_photo(STATUS_STOPPED);
        break;
    case MSG_HUD_READ: on_hud_read(fields); break;
    case MSG_HAPTIC: result(id, on_haptic(fields)); break;
    case MSG_CAPTURE_LIGHT:
        light(fields[0] != 0 || app.mic || app.photo.active);
        result(id, STATUS_OK);
        break;
    case MSG_IMU_RATE: result(id, on_imu_rate(fields)); break;
    case MSG_SETTING_GET:
        if (fields[0] < SETTINGS)
            send_setting(fields[0]);
        else
            result(id, STATUS_BAD_VALUE);
        break;
    case MSG_SETTING_SET: on_setting_set(fields); break;
    case MSG_SIMULATE: result(id, on_simulate(fields)); break;
    case MSG_SMP: on_smp(fields + sizeof(struct msg_smp), size - sizeof(struct msg_smp)); break;
    default: on_hud(id, fields, size); break;
    }
}

void app_init(void) {
    memset(&app, 0, sizeof app);
    const char *code = board.pairing_code();
    struct link_config config = {.random = board.random, .message = on_message};
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
