/* Firmware update: an SMP server (groups OS and image) over the two slots. Requests and responses are whole SMP packets. */
#ifndef UPDATE_H
#define UPDATE_H

#include "board.h"

size_t update_request(const uint8_t *request, size_t size, uint8_t *response, size_t room);

/* Resets the board a little after a reset was asked for, so that the answer still goes out. */
void update_poll(uint64_t now_us);

uint8_t update_slot(void);      /* the one that runs */
uint8_t update_confirmed(void); /* 0: on trial */

#endif
