/* What the host asks of the glasses. Sizes are checked here, once, before anything is read. */
#include <string.h>

#include "app_parts.h"
#include "hud.h"
#include "update.h"

#define MAX_IMU_HZ 200

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
        app_light(true);
        out.t_us = board.now_us();
        if (!board.capture(in.width, in.height, in.quality, &app.photo.jpeg, &app.photo.size)) {
            end.status = STATUS_FAULT;
            app.faults++;
            app_light(app.mic);
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
        app_result(MSG_HUD_READ, STATUS_BAD_VALUE);
        return;
    }
    uint32_t left = all - in.offset;
    SEND(CHANNEL_BULK, MSG_HUD_DATA, out, board.hud + in.offset, left < 640 ? left : 640);
}

static void on_setting_set(const uint8_t *fields) {
    struct msg_setting_set in;
    memcpy(&in, fields, sizeof in);
    if (in.setting >= SETTINGS || in.value < 0 || in.value > 100) {
        app_result(MSG_SETTING_SET, STATUS_BAD_VALUE);
        return;
    }
    app.settings[in.setting] = in.value;
    app_send_setting(in.setting);
}

static uint8_t on_mic(const uint8_t *fields) {
    uint8_t codec = fields[1];
    if (!(board.capabilities & CAP_MICROPHONE))
        return STATUS_UNSUPPORTED;
    if (codec != CODEC_PCM16 && (codec > 15 || !(board.mic_codecs >> codec & 1)))
        return STATUS_UNSUPPORTED;
    app.mic_codec = codec;
    app.mic = fields[0] != 0;
    app_light(app.mic || app.photo.active);
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
    app_result(id, status);
}

void app_on_message(void *context, uint8_t channel, const uint8_t *message, size_t size) {
    uint8_t id = message[0];
    const uint8_t *fields = message + 1;
    int layout = layout_of(id);
    (void)context;
    (void)channel;
    size -= 1;
    if (layout < 0 || size < (size_t)(layout & 0xfff) || (size > (size_t)(layout & 0xfff) && !(layout & 0x1000))) {
        app.link.malformed++;
        app_result(id, STATUS_UNSUPPORTED);
        return;
    }
    switch (id) {
    case MSG_INFO_GET: app_send_info(); break;
    case MSG_MIC: app_result(id, on_mic(fields)); break;
    case MSG_SPEAK:
        if (on_speak(fields, size) != STATUS_OK)
            app_result(id, STATUS_UNSUPPORTED);
        break;
    case MSG_CAPTURE: on_capture(fields); break;
    case MSG_CAPTURE_STOP:
        if (app.photo.active)
            app_end_photo(STATUS_STOPPED);
        break;
    case MSG_HUD_READ: on_hud_read(fields); break;
    case MSG_HAPTIC: app_result(id, on_haptic(fields)); break;
    case MSG_CAPTURE_LIGHT:
        app_light(fields[0] != 0 || app.mic || app.photo.active);
        app_result(id, STATUS_OK);
        break;
    case MSG_IMU_RATE: app_result(id, on_imu_rate(fields)); break;
    case MSG_SETTING_GET:
        if (fields[0] < SETTINGS)
            app_send_setting(fields[0]);
        else
            app_result(id, STATUS_BAD_VALUE);
        break;
    case MSG_SETTING_SET: on_setting_set(fields); break;
    case MSG_SIMULATE: app_result(id, on_simulate(fields)); break;
    case MSG_SMP: on_smp(fields + sizeof(struct msg_smp), size - sizeof(struct msg_smp)); break;
    default: on_hud(id, fields, size); break;
    }
}
