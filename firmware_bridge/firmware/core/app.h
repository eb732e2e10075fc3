/* What the glasses do with messages: microphone, camera, HUD, buttons, settings. It talks to wire and chip through callbacks. */
#ifndef APP_H
#define APP_H

#include "board.h"
#include "link.h"

void app_init(void);

/* Bytes from the wire. */
void app_input(const uint8_t *data, size_t size);

/* Bytes for the wire; at least MAX_WIRE of room. */
size_t app_output(uint8_t *out, size_t room);

/* Everything that is due; call often. */
void app_poll(void);

/* Events of the board. */
void app_button(uint8_t button, bool pressed);
void app_touch(uint8_t gesture);
void app_worn(bool worn);
void app_mute_changed(void);
void app_battery_changed(void);
void app_log(uint8_t level, const char *text);

const struct link *app_link(void);

#endif
