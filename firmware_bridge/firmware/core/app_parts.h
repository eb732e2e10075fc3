/* What the two halves of the application know of one another: app.c tells, app_commands.c carries out what is asked. */
#ifndef APP_PARTS_H
#define APP_PARTS_H

#include "app.h"

#define SEND(channel, id, fields, tail, tail_size) app_send(channel, id, &(fields), sizeof(fields), tail, tail_size)

struct app {
    struct link link;
    uint8_t key[KEY_BYTES];
    uint32_t sessions; /* of the link, as last seen */
    uint64_t heartbeat_us, battery_us, imu_us;
    bool mic, light;
    uint8_t mic_codec;
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
};

extern struct app app;

bool app_send(uint8_t channel, uint8_t id, const void *fields, size_t size, const uint8_t *tail, size_t tail_size);
void app_result(uint8_t message, uint8_t status);
void app_send_info(void);
void app_send_setting(uint8_t setting);
void app_light(bool on);
void app_end_photo(uint8_t status);

/* A message of the host; see struct link_config. */
void app_on_message(void *context, uint8_t channel, const uint8_t *message, size_t size);

#endif
