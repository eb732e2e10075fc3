/* What the parts of the link's core know of one another; nobody else includes it. link_send.c: what goes out and when
 * again; link_greet.c: how a session begins; link.c: the rest. */
#ifndef LINK_PARTS_H
#define LINK_PARTS_H

#include "link.h"

#define FIRST_RTO_US 300000

static inline uint16_t ms(const struct link *link) {
    return (uint16_t)(link->now_us / 1000);
}

static inline struct slot *slot_of(struct slot *slots, uint16_t seq) {
    return &slots[seq & (LINK_SLOTS - 1)];
}

/* Another wire, perhaps: what was learnt of the last one's round trips says nothing of it. */
void link_no_flight(struct link *link);

/* The next message that is due, as the body of a frame; 0 for none. */
size_t link_data_body(struct link *link, uint8_t *body);

void link_on_ack(struct link *link, const uint8_t *body);
void link_on_hello(struct link *link, const uint8_t *body, size_t size);
void link_on_noise(struct link *link, const uint8_t *body, size_t size);

#endif
