/* The device's end of the link, without any I/O: bytes and times in, bytes and messages out.
 * It answers greetings, never begins one. Counterpart of firmware_bridge/link.py. */
#ifndef LINK_H
#define LINK_H

#include "frame.h"
#include "secure.h"

#ifndef LINK_SLOTS
#define LINK_SLOTS 32 /* messages a channel holds each way: a power of two, at most MAX_WINDOW */
#endif
_Static_assert((LINK_SLOTS & (LINK_SLOTS - 1)) == 0 && LINK_SLOTS <= MAX_WINDOW, "LINK_SLOTS");

struct slot {
    uint64_t due_us;
    uint16_t size; /* 0: empty, or known to have arrived */
    bool sent; /* in this session */
    uint8_t message[MAX_MESSAGE];
};

struct send_channel {
    uint16_t base;  /* the oldest that may not have arrived */
    uint16_t next;  /* the first that was never sent */
    uint16_t end;   /* the first that was never promised */
    uint16_t limit; /* the peer's credit */
    struct slot slots[LINK_SLOTS];
};

struct receive_channel {
    uint16_t next;
    uint16_t echo_ms; /* of the first frame since the last acknowledgement */
    uint8_t unacked;  /* frames since then */
    bool owes_ack;
    uint64_t ack_us; /* when it is due */
    struct slot slots[LINK_SLOTS]; /* what came ahead of next */
};

struct link_config {
    const uint8_t *key; /* NULL: open */
    void (*random)(uint8_t *out, size_t size);
    void (*message)(void *context, uint8_t channel, const uint8_t *message, size_t size);
    void *context;
};

struct link {
    struct link_config config;
    struct frame_decoder decoder;
    struct frame_hello host, own; /* the greeting under way: the host's, and what was answered */
    struct frame_noise first, second;
    struct sealer sealer;
    bool greeted, owes_hello, owes_noise, owes_pong;
    bool up, met; /* met: the host has been heard in this session, so it is up there too */
    uint8_t session;
    uint32_t epoch, host_epoch;
    struct frame_pong pong;
    uint64_t now_us, heard_us;
    uint32_t round_trip_us, deviation_us, rto_us, least_us; /* least_us: the quickest round trip of the session */
    uint64_t flight_us;                                     /* when flight was last made smaller */
    uint32_t flight_acked;
    uint8_t flight; /* frames of bulk that may be in flight */
    uint32_t forged, malformed, repeated, sessions;
    struct send_channel send[CHANNELS];
    struct receive_channel receive[CHANNELS];
    uint8_t body[MAX_BODY];
};

void link_init(struct link *link, const struct link_config *config);

/* Takes bytes from the wire in any chunking; messages come through config.message, in order, once each. */
void link_input(struct link *link, const uint8_t *data, size_t size, uint64_t now_us);

/* Writes what is due, whole frames, the most urgent first. Nothing is written into less than MAX_WIRE bytes. */
size_t link_output(struct link *link, uint8_t *out, size_t room, uint64_t now_us);

/* Promises to deliver. False: no room, nothing promised. Only a host that has restarted loses what was promised. */
bool link_send(struct link *link, uint8_t channel, const uint8_t *message, size_t size);

/* Messages that link_send would take now. */
unsigned link_room(const struct link *link, uint8_t channel);

#endif
