/*
 * Rootcast in an ESP-IDF project: the updater around ESP-IDF's flash, NVS, MQTT client and TLS.
 *
 * The project brings the mesh: it passes frames in (rootcast_esp_frame) and sends frames out (send_frame), and it
 * lends its light. Everything else is done here, in one task of its own.
 */
#ifndef ROOTCAST_ESP_H
#define ROOTCAST_ESP_H

#include "esp_err.h"
#include "rootcast.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Zero it first: what is 0 or NULL then has its default. Texts and keys must stay where they are. */
typedef struct {
    const char *node_type;              /* "switch", "relay8", "relay16" or a name of your own; NULL: "switch" */
    const char *topic_prefix;           /* before the topics; NULL: nothing */
    const char *broker_uri;             /* "mqtts://broker:8883"; the root only */
    const char *broker_user, *broker_password;
    const char *ca_pem;                 /* CA of server and broker; NULL: ESP-IDF's bundle of public ones */
    const char *vendor_domain;          /* whose firmware is taken from releases; NULL: Rootcast's default */
    const uint8_t *image_key_digests;   /* SHA-256 of each public key that may sign images, 32 bytes each */
    size_t image_key_count;             /* at most 4 */
    const rootcast_release_key_t *release_keys;
    size_t release_key_count;           /* at most 4 */
    bool is_root;                       /* this node talks to the broker for the mesh */
    bool allow_unsigned;                /* accept unsigned images while no key is trusted */
    bool require_release;               /* accept signed releases only */
    bool needs_application_health;      /* confirm a new image only after rootcast_esp_health(true) */

    /* Shows a colour: red no mesh, yellow not joined, green joined, blue update. Called on the updater's task. */
    void (*show)(rootcast_colour_t colour);
    /* Sends a frame into the mesh; must not wait long. Called on the updater's task. */
    void (*send_frame)(rootcast_destination_t to, uint64_t node, const uint8_t *bytes, size_t length);
} rootcast_esp_config_t;

/*
 * Starts the updater. Call it first in app_main, after nvs_flash_init: it counts the starts of an image on trial and
 * goes back from one that had its chance, so what crashes before it cannot be helped.
 *
 * ESP_ERR_INVALID_ARG: a callback is missing, or a setting is not valid. ESP_ERR_NOT_SUPPORTED: this flash has no two
 * OTA slots; the application can go on without the updater. ESP_ERR_NO_MEM: no room for the task.
 */
esp_err_t rootcast_esp_start(const rootcast_esp_config_t *config);

/* The network is up: the root connects to its broker. From any task, once. */
esp_err_t rootcast_esp_network_up(void);

/* A mesh frame has arrived. From any task; false if the updater is behind and the frame is dropped, which does no harm. */
bool rootcast_esp_frame(const uint8_t *bytes, size_t length);

/* The node's place in the mesh has changed. From any task. */
bool rootcast_esp_mesh(const rootcast_mesh_t *mesh);

/* The application's own judgement of itself. From any task. */
bool rootcast_esp_health(bool healthy);

#ifdef __cplusplus
}
#endif
#endif
