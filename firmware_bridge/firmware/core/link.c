#include "link.h"

#include <string.h>

#include "link_parts.h"

#define SILENCE_US 5000000
#define ACK_EVERY 4 /* frames in order */
#define ACK_WAIT_US 10000
#define ROOM_TO_ANSWER 2 /* messages that the answer to one message may take */

void link_init(struct link *link, const struct link_config *config) {
    memset(link, 0, sizeof *link);
    link->config = *config;
    link->rto_us = FIRST_RTO_US;
    link_no_flight(link);
    config->random((uint8_t *)&link->epoch, sizeof link->epoch);
}

static void deliver(struct link *link, uint8_t channel);

static size_t ack_body(struct link *link, uint8_t *body) {
    for (uint8_t channel = 0; channel < CHANNELS; channel++) {
        struct receive_channel *c = &link->receive[channel];
        if (!c->owes_ack || c->ack_us > link->now_us)
            continue;
        c->owes_ack = false;
        c->unacked = 0;
        struct frame_ack ack = {.kind = FRAME_ACK,
                                .session = link->session,
                                .channel = channel,
                                .next = c->next,
                                .limit = (uint16_t)(c->next + LINK_SLOTS),
                                .echo_ms = c->echo_ms};
        for (uint16_t i = 1; i < LINK_SLOTS; i++)
            if (slot_of(c->slots, (uint16_t)(c->next + i))->size > 0)
                ack.mask |= (uint32_t)1 << (i - 1);
        c->echo_ms = 0; /* an echo says how long a frame took; a second one would say how long ago that was */
        memcpy(body, &ack, sizeof ack);
        return sizeof ack;
    }
    return 0;
}

static size_t sealable_body(struct link *link, uint8_t *body) {
    size_t size = ack_body(link, body);
    if (size > 0)
        return size;
    if (link->owes_pong) {
        link->owes_pong = false;
        link->pong.t3_us = link->now_us;
        memcpy(body, &link->pong, sizeof link->pong);
        return sizeof link->pong;
    }
    return link->met ? link_data_body(link, body) : 0; /* until then it would only be thrown away there */
}

/* The next body that is due, in link->body; 0 for none. */
static size_t next_body(struct link *link) {
    if (link->owes_hello) {
        link->owes_hello = false;
        memcpy(link->body, &link->own, sizeof link->own);
        return sizeof link->own;
    }
    if (link->owes_noise) {
        link->owes_noise = false;
        memcpy(link->body, &link->second, sizeof link->second);
        return sizeof link->second;
    }
    if (!link->up)
        return 0;
    if (link->config.key == NULL)
        return sealable_body(link, link->body);
    size_t size = sealable_body(link, link->body + SEAL_HEAD);
    size = size > 0 ? secure_seal(&link->sealer, link->session, link->body, size) : 0;
    if (link->sealer.counter == UINT32_MAX)
        link->up = false; /* the host will greet anew */
    return size;
}

size_t link_output(struct link *link, uint8_t *out, size_t room, uint64_t now_us) {
    size_t used = 0, size;
    link->now_us = now_us;
    if (link->up && now_us - link->heard_us > SILENCE_US)
        link->up = false;
    for (uint8_t channel = 0; channel < CHANNELS; channel++)
        deliver(link, channel);
    while (room - used >= MAX_WIRE && (size = next_body(link)) > 0)
        used += frame_encode(link->body, size, out + used);
    return used;
}

/* Receiving. */

/* Hands over what is in order, as long as there is room for an answer to it. */
static void deliver(struct link *link, uint8_t channel) {
    struct receive_channel *c = &link->receive[channel];
    struct slot *slot;
    while ((slot = slot_of(c->slots, c->next))->size > 0) {
        if (link_room(link, CHANNEL_CONTROL) < ROOM_TO_ANSWER || link_room(link, CHANNEL_BULK) < ROOM_TO_ANSWER)
            return;
        size_t size = slot->size;
        slot->size = 0;
        c->next++;
        link->config.message(link->config.context, channel, slot->message, size);
    }
}

/* What comes in order is acknowledged a few at a time; anything else at once. */
static void owe_ack(const struct link *link, struct receive_channel *c, uint16_t ahead, uint16_t t_ms) {
    if (c->unacked == 0)
        c->echo_ms = t_ms; /* so that the sender's time-out allows for the waiting here (RFC 7323) */
    c->unacked += c->unacked < UINT8_MAX;
    if (ahead > 0 || c->unacked >= ACK_EVERY || slot_of(c->slots, c->next)->size > 0)
        c->ack_us = 0;
    else if (!c->owes_ack)
        c->ack_us = link->now_us + ACK_WAIT_US;
    c->owes_ack = true;
}

static void on_data(struct link *link, const uint8_t *body, size_t size) {
    const struct frame_data *data = (const struct frame_data *)body;
    if (size <= sizeof *data || size - sizeof *data > MAX_MESSAGE || data->channel >= CHANNELS) {
        link->malformed++;
        return;
    }
    struct receive_channel *c = &link->receive[data->channel];
    uint8_t channel = data->channel;
    uint16_t ahead = (uint16_t)(data->seq - c->next);
    owe_ack(link, c, ahead, data->t_ms);
    if (ahead >= LINK_SLOTS)
        return; /* it came before */
    size -= sizeof *data;
    struct slot *slot = slot_of(c->slots, data->seq);
    if (slot->size == 0) { /* else it is held already, and its size with it */
        memcpy(slot->message, data->data, size);
        slot->size = (uint16_t)size;
    }
    deliver(link, channel);
}

static void on_ping(struct link *link, const uint8_t *body) {
    const struct frame_ping *ping = (const struct frame_ping *)body;
    link->pong.kind = FRAME_PONG;
    link->pong.session = link->session;
    link->pong.id = ping->id;
    link->pong.t1_us = ping->t1_us;
    link->pong.t2_us = link->now_us;
    link->owes_pong = true;
}

static void handle(struct link *link, const uint8_t *body, size_t size) {
    if (size < 2 || body[1] != link->session) {
        link->forged++;
        return;
    }
    link->heard_us = link->now_us;
    link->met = true;
    if (body[0] == FRAME_DATA)
        on_data(link, body, size);
    else if (body[0] == FRAME_ACK && size == sizeof(struct frame_ack))
        link_on_ack(link, body);
    else if (body[0] == FRAME_PING && size == sizeof(struct frame_ping))
        on_ping(link, body);
    else if (body[0] == FRAME_BYE && size == sizeof(struct frame_bye))
        link->up = false;
    else
        link->malformed++;
}

static void on_frame(void *context, uint8_t *body, size_t size) {
    struct link *link = context;
    if (body[0] == FRAME_HELLO) {
        link_on_hello(link, body, size);
    } else if (body[0] == FRAME_NOISE1) {
        link_on_noise(link, body, size);
    } else if (!link->up) {
        return; /* of a session that is over */
    } else if (link->config.key == NULL) {
        handle(link, body, size);
    } else {
        size = body[0] == FRAME_SEALED && size > 1 && body[1] == link->session ? secure_open(&link->sealer, body, size) : 0;
        if (size > 0)
            handle(link, body + SEAL_HEAD, size);
        else
            link->forged++;
    }
}

void link_input(struct link *link, const uint8_t *data, size_t size, uint64_t now_us) {
    link->now_us = now_us;
    frame_decode(&link->decoder, data, size, on_frame, link);
}
