/*
 * Rootcast: firmware updates for every node of a mesh, behind a C interface.
 *
 * Made by cbindgen from crates/idf; do not edit.
 *
 * Threads: a rootcast_t belongs to one task at a time. None of these functions waits, allocates, or keeps a pointer
 * that it was given (but rootcast_start keeps its memory, and the functions in rootcast_platform_t with their
 * argument). Callbacks are called from within rootcast_start and the functions that take a rootcast_t, on their task;
 * a callback must not call those functions of the same node: they answer ROOTCAST_BUSY and change nothing.
 *
 * Time: every now_ms is milliseconds of one clock that does not go back: esp_timer_get_time() / 1000.
 */

#ifndef ROOTCAST_H
#define ROOTCAST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * Bytes of memory that a node needs: what rootcast_start wants at least, aligned to 8.
 */
#define ROOTCAST_BYTES (76 * 1024)

/**
 * What a function answers.
 */
typedef enum rootcast_error_t {
  /**
   * Done.
   */
  ROOTCAST_OK = 0,
  /**
   * A pointer is NULL that must not be, or a function of rootcast_platform_t is missing.
   */
  ROOTCAST_ARGUMENT = 1,
  /**
   * The memory is smaller than ROOTCAST_BYTES or not aligned to 8.
   */
  ROOTCAST_MEMORY = 2,
  /**
   * A setting is not valid: the id has more than 48 bits, a text is not UTF-8 or too long, or there are too many keys.
   */
  ROOTCAST_SETTING = 3,
  /**
   * Flash cannot be read, or its partition table has no two OTA slots. The application goes on without the updater.
   */
  ROOTCAST_FLASH = 4,
  /**
   * Called from within a callback of the same node.
   */
  ROOTCAST_BUSY = 5,
} rootcast_error_t;

/**
 * What the light says.
 */
typedef enum rootcast_colour_t {
  /**
   * No mesh.
   */
  ROOTCAST_RED = 1,
  /**
   * The mesh is started but not joined.
   */
  ROOTCAST_YELLOW = 2,
  /**
   * In the mesh.
   */
  ROOTCAST_GREEN = 3,
  /**
   * An update is going on.
   */
  ROOTCAST_BLUE = 4,
} rootcast_colour_t;

/**
 * Whom a frame is for. Bringing it there, over as many hops as it takes, is the caller's work.
 */
typedef enum rootcast_destination_t {
  /**
   * The root.
   */
  ROOTCAST_TO_ROOT = 1,
  /**
   * Every node of the mesh: on ESP-WIFI-MESH one esp_mesh_send for each address of the root's routing table.
   */
  ROOTCAST_TO_EVERYBODY = 2,
  /**
   * Whoever hears it, passed on by nobody. Only where can_spread is set.
   */
  ROOTCAST_TO_NEIGHBOURS = 3,
  /**
   * The node whose id is given.
   */
  ROOTCAST_TO_NODE = 4,
} rootcast_destination_t;

/**
 * Why the chip started (esp_reset_reason).
 */
typedef enum rootcast_reset_t {
  /**
   * Power came (back), or fell too low, or somebody pressed reset: says nothing about the image.
   */
  ROOTCAST_RESET_POWER = 0,
  /**
   * esp_restart.
   */
  ROOTCAST_RESET_SOFTWARE = 1,
  /**
   * A panic or an exception.
   */
  ROOTCAST_RESET_PANIC = 2,
  /**
   * A watchdog bit.
   */
  ROOTCAST_RESET_WATCHDOG = 3,
} rootcast_reset_t;

/**
 * A node. What is in it is nobody's business but the library's.
 */
typedef struct rootcast_t rootcast_t;

/**
 * What the caller lends to the core and does for it. Every function gets `argument` first; none may be NULL.
 *
 * Those that return int return 0 (ESP_OK) for success. Flash addresses count from the chip's first byte.
 */
typedef struct rootcast_platform_t {
  /**
   * Handed to every function.
   */
  void *argument;
  /**
   * Size of the flash chip in bytes.
   */
  uint32_t flash_bytes;
  /**
   * Reads flash: address and length are multiples of 4.
   */
  int (*flash_read)(void *argument, uint32_t address, uint8_t *into, size_t length);
  /**
   * Programs flash: address and length are multiples of 4, bits are only cleared. A word may be programmed again.
   */
  int (*flash_write)(void *argument, uint32_t address, const uint8_t *bytes, size_t length);
  /**
   * Erases flash to ones: address and length are multiples of 4096.
   */
  int (*flash_erase)(void *argument, uint32_t address, size_t length);
  /**
   * A random number (esp_random); jitter is drawn from it, no secret is.
   */
  uint32_t (*random)(void *argument);
  /**
   * Reads a blob of the NVS namespace "rootcast"; its length, or a negative number if it is absent or longer than room.
   */
  int32_t (*setting_load)(void *argument, const char *key, uint8_t *into, size_t room);
  /**
   * Stores a blob in the NVS namespace "rootcast", and commits it.
   */
  int (*setting_store)(void *argument, const char *key, const uint8_t *bytes, size_t length);
  /**
   * Shows a colour.
   */
  void (*show)(void *argument, enum rootcast_colour_t colour);
  /**
   * Sends a mesh frame of at most 250 bytes; node counts only with ROOTCAST_TO_NODE. A lost frame does no harm.
   */
  void (*send_frame)(void *argument,
                     enum rootcast_destination_t to,
                     uint64_t node,
                     const uint8_t *bytes,
                     size_t length);
  /**
   * Subscribes to a topic, QoS 1. The root only.
   */
  void (*subscribe)(void *argument, const char *topic);
  /**
   * Publishes JSON. The root only. Reports come this way: topic "/switch/ota/<deviceId>".
   */
  void (*publish)(void *argument,
                  const char *topic,
                  const uint8_t *payload,
                  size_t length,
                  int qos,
                  bool retain);
  /**
   * Opens a connection to host and port; with tls, verifies chain, host name and validity. One that is open is closed
   * first. The outcome is told by rootcast_stream_connected or rootcast_stream_failed, later.
   */
  void (*stream_open)(void *argument, const char *host, uint16_t port, bool tls);
  /**
   * Sends bytes over the connection.
   */
  void (*stream_send)(void *argument, const uint8_t *bytes, size_t length);
  /**
   * Closes the connection; nothing is to be told of it any more.
   */
  void (*stream_close)(void *argument);
  /**
   * Restarts the chip (esp_restart). May return: the caller then restarts as soon as it can.
   */
  void (*restart)(void *argument);
} rootcast_platform_t;

/**
 * A key that may sign releases (docs/release-format.md).
 */
typedef struct rootcast_release_key_t {
  /**
   * A P-256 point as SEC 1 §2.3.3 writes it uncompressed: 04, x, y.
   */
  uint8_t point[65];
  /**
   * What the key may sign: 1 releases, 2 changes of keys, 3 both.
   */
  uint8_t purposes;
} rootcast_release_key_t;

/**
 * Who the node is and whom it trusts. Zero it first: what is 0 or NULL then has its default.
 */
typedef struct rootcast_settings_t {
  /**
   * The station MAC as a number of 48 bits, first byte highest.
   */
  uint64_t id;
  /**
   * "switch", "relay8", "relay16" or another name of your own; NULL: switch.
   */
  const char *node_type;
  /**
   * What stands before the original's topics, for example "house/1"; NULL: nothing.
   */
  const char *topic_prefix;
  /**
   * Whose firmware the node takes from releases: a domain name; NULL: Rootcast's default.
   */
  const char *vendor_domain;
  /**
   * SHA-256 digests of the public keys that may sign images, 32 bytes each, one after the other.
   */
  const uint8_t *image_key_digests;
  /**
   * How many; at most 4.
   */
  size_t image_key_count;
  /**
   * Keys that may sign releases.
   */
  const struct rootcast_release_key_t *release_keys;
  /**
   * How many; at most 4.
   */
  size_t release_key_count;
  /**
   * A flash address that the running code executes from: esp_ota_get_running_partition()->address.
   */
  uint32_t code_address;
  /**
   * What the chip's anti-rollback fuses say (esp_efuse_read_secure_version).
   */
  uint32_t secure_version;
  /**
   * How long a new image may take to prove itself, in milliseconds; 0: five minutes.
   */
  uint32_t trial_deadline_ms;
  /**
   * ESP-IDF's number for the chip: CONFIG_IDF_FIRMWARE_CHIP_ID.
   */
  uint16_t chip;
  /**
   * The chip's revision, major * 100 + minor (efuse_hal_chip_revision).
   */
  uint16_t chip_revision;
  /**
   * Why the chip started.
   */
  enum rootcast_reset_t reset;
  /**
   * Whether this node talks to the broker for the mesh.
   */
  bool is_root;
  /**
   * Whether an image without signature is accepted while no key is trusted.
   */
  bool allow_unsigned;
  /**
   * Whether only signed releases are accepted, no bare images.
   */
  bool require_release;
  /**
   * Whether send_frame can reach neighbours by one transmission. Not on ESP-WIFI-MESH.
   */
  bool can_spread;
  /**
   * Whether a new image is confirmed only after rootcast_health said so.
   */
  bool needs_application_health;
} rootcast_settings_t;

/**
 * A node's place in the mesh.
 */
typedef struct rootcast_mesh_t {
  /**
   * Id of the parent; the root's is its own.
   */
  uint64_t parent;
  /**
   * Whether the radio is up.
   */
  bool started;
  /**
   * Whether the node has its place in the mesh; the root: whether it has the network.
   */
  bool joined;
  /**
   * Distance from the router: 1 for the root (esp_mesh_get_layer).
   */
  uint8_t layer;
  /**
   * Signal of the link to the parent, dBm; 0: not known.
   */
  int8_t signal_dbm;
} rootcast_mesh_t;

/**
 * How far the update is.
 */
typedef struct rootcast_progress_t {
  /**
   * Bytes of the file on flash.
   */
  uint32_t bytes;
  /**
   * Bytes of the file; 0 while they are not known.
   */
  uint32_t size;
  /**
   * The code last reported (crates/wire/src/error_code.rs); 0: none.
   */
  uint16_t error;
  /**
   * The step last reported: 0 none, 1 accepted, 2 waiting, 3 downloading, 4 verifying, 5 installed, 6 restarting,
   * 7 trial, 8 confirmed, 9 rolled back, 10 failed, 11 refused.
   */
  uint8_t state;
  /**
   * Share of the file on flash, 0 to 100.
   */
  uint8_t percent;
  /**
   * How manieth download this is.
   */
  uint8_t attempt;
} rootcast_progress_t;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Starts the updater: as early as possible after a reset, since it counts the starts of an image on trial and goes back
 * from one that had its chance. A watchdog should run by then.
 *
 * memory is used until the chip restarts. platform is copied, settings are read once. out gets the node.
 *
 * Errors: ROOTCAST_ARGUMENT, ROOTCAST_MEMORY, ROOTCAST_SETTING, ROOTCAST_FLASH.
 */
enum rootcast_error_t rootcast_start(void *memory,
                                     size_t bytes,
                                     const struct rootcast_platform_t *platform,
                                     const struct rootcast_settings_t *settings,
                                     uint64_t now_ms,
                                     struct rootcast_t **out);

/**
 * A mesh frame has arrived, over however many hops. Frames that are not Rootcast's do no harm.
 *
 * Errors: ROOTCAST_ARGUMENT, ROOTCAST_BUSY; so for every function that takes a rootcast_t.
 */
enum rootcast_error_t rootcast_frame(struct rootcast_t *context,
                                     uint64_t now_ms,
                                     const uint8_t *bytes,
                                     size_t length);

/**
 * A mesh frame has arrived straight from a neighbour, heard with this signal. Only where can_spread is set.
 */
enum rootcast_error_t rootcast_neighbour_frame(struct rootcast_t *context,
                                               uint64_t now_ms,
                                               const uint8_t *bytes,
                                               size_t length,
                                               int8_t signal_dbm);

/**
 * The node's place in the mesh, whenever it changes.
 */
enum rootcast_error_t rootcast_mesh(struct rootcast_t *context,
                                    uint64_t now_ms,
                                    const struct rootcast_mesh_t *mesh);

/**
 * The broker has accepted the connection, or it is gone. The root only.
 */
enum rootcast_error_t rootcast_mqtt(struct rootcast_t *context, uint64_t now_ms, bool connected);

/**
 * A message on a subscribed topic, whole. The root only.
 */
enum rootcast_error_t rootcast_mqtt_message(struct rootcast_t *context,
                                            uint64_t now_ms,
                                            const char *topic,
                                            const uint8_t *payload,
                                            size_t length);

/**
 * The connection that was asked for stands; with TLS, the server has proved who it is.
 */
enum rootcast_error_t rootcast_stream_connected(struct rootcast_t *context, uint64_t now_ms);

/**
 * Bytes have come over the connection.
 */
enum rootcast_error_t rootcast_stream_data(struct rootcast_t *context,
                                           uint64_t now_ms,
                                           const uint8_t *bytes,
                                           size_t length);

/**
 * The server has closed the connection.
 */
enum rootcast_error_t rootcast_stream_closed(struct rootcast_t *context, uint64_t now_ms);

/**
 * The connection could not be made or kept. code is one of the numbers of crates/wire/src/error_code.rs: 20 name not
 * resolved, 21 no connection, 22 connection lost, 40 TLS failed, 41 certificate expired, 42 not yet valid, 43 for another
 * host, 44 self-signed, 45 no trusted CA, 47 damaged, 49 no trusted time. Any other counts as 22.
 */
enum rootcast_error_t rootcast_stream_failed(struct rootcast_t *context,
                                             uint64_t now_ms,
                                             uint16_t code);

/**
 * The application's own judgement of itself. During a trial, false sends the image back.
 */
enum rootcast_error_t rootcast_health(struct rootcast_t *context, uint64_t now_ms, bool healthy);

/**
 * The time of day in seconds since 1970, from a source that the application trusts (SNTP at the root).
 */
enum rootcast_error_t rootcast_wall_clock(struct rootcast_t *context, uint64_t now_ms, uint64_t unix_s);

/**
 * Does what is due: handles the time that has passed and calls the callbacks until nothing more is to be done. To be
 * called after every function that tells the node something, and at the time that it answers.
 *
 * deadline_ms gets the time at which it wants to be called again, UINT64_MAX for not by itself; it may be NULL.
 */
enum rootcast_error_t rootcast_run(struct rootcast_t *context,
                                   uint64_t now_ms,
                                   uint64_t *deadline_ms);

/**
 * How far the update is. Errors: ROOTCAST_ARGUMENT, ROOTCAST_BUSY; progress is all zero then.
 */
enum rootcast_error_t rootcast_progress(struct rootcast_t *context, struct rootcast_progress_t *progress);

/**
 * Writes the name of an error code, as in reports, and its NUL into room bytes; cuts what does not fit. Returns the
 * length of the whole name, 0 for a number that is no code. May be called at any time, from any task.
 */
size_t rootcast_error_name(uint16_t code,
                           char *into,
                           size_t room);

/**
 * Bytes that a node really takes, at most ROOTCAST_BYTES.
 */
size_t rootcast_bytes(void);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* ROOTCAST_H */
