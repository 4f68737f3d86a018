/*
 * A node on ESP-WIFI-MESH that updates itself with Rootcast. What the node is for (a switch, a relay) goes on beside it.
 *
 * The root is fixed by configuration: it has the router, the broker, and brings the trigger to every node of its
 * routing table. Frames of the application begin with another byte than Rootcast's and share the mesh.
 */
#include <string.h>

#include "esp_event.h"
#include "esp_log.h"
#include "esp_mac.h"
#include "esp_mesh.h"
#include "esp_netif.h"
#include "esp_wifi.h"
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"
#include "nvs_flash.h"
#include "rootcast_esp.h"
#include "sdkconfig.h"

#define MOST_NODES 512

static uint64_t id_of(const uint8_t mac[6])
{
    uint64_t id = 0;
    for (int i = 0; i < 6; i++) id = id << 8 | mac[i];
    return id;
}

/* Rootcast wants a frame sent. To everybody means: to each node of the routing table, one by one. */
static void send_frame(rootcast_destination_t to, uint64_t node, const uint8_t *bytes, size_t length)
{
    mesh_data_t data = {.data = (uint8_t *)bytes, .size = (uint16_t)length, .proto = MESH_PROTO_BIN, .tos = MESH_TOS_DEF};
    static mesh_addr_t table[MOST_NODES];
    int count = 0;
    if (to == ROOTCAST_TO_ROOT) {
        esp_mesh_send(NULL, &data, 0, NULL, 0);
    } else if (to == ROOTCAST_TO_NODE) {
        mesh_addr_t address;
        for (int i = 0; i < 6; i++) address.addr[i] = (uint8_t)(node >> (40 - 8 * i));
        esp_mesh_send(&address, &data, MESH_DATA_P2P | MESH_DATA_NONBLOCK, NULL, 0);
    } else if (esp_mesh_get_routing_table(table, sizeof table, &count) == ESP_OK) {
        uint8_t mac[6];
        esp_read_mac(mac, ESP_MAC_WIFI_STA);
        for (int i = 0; i < count; i++)
            if (memcmp(table[i].addr, mac, 6) != 0)
                esp_mesh_send(&table[i], &data, MESH_DATA_P2P | MESH_DATA_NONBLOCK, NULL, 0);
    }
}

/* A NeoPixel would be set here. */
static void show(rootcast_colour_t colour)
{
    static const char *const names[] = {"off", "red", "yellow", "green", "blue"};
    ESP_LOGI("light", "%s", names[colour]);
}

static void on_mesh(void *unused, esp_event_base_t base, int32_t id, void *data)
{
    (void)unused;
    (void)base;
    rootcast_mesh_t mesh = {.started = id != MESH_EVENT_STOPPED, .layer = (uint8_t)esp_mesh_get_layer()};
    if (id == MESH_EVENT_PARENT_CONNECTED) {
        const mesh_event_connected_t *connected = data;
        uint8_t mac[6];
        esp_read_mac(mac, ESP_MAC_WIFI_STA);
        mesh.joined = true;
        /* A parent's BSSID is its SoftAP's MAC: the station's, by which nodes are known, plus one. */
        mesh.parent = esp_mesh_is_root() ? id_of(mac) : id_of(connected->connected.bssid) - 1;
        if (esp_mesh_is_root()) rootcast_esp_network_up();
    } else if (id != MESH_EVENT_STARTED && id != MESH_EVENT_STOPPED && id != MESH_EVENT_PARENT_DISCONNECTED) {
        return; /* nothing that changes the node's place */
    }
    rootcast_esp_mesh(&mesh);
}

static void receive(void *unused)
{
    (void)unused;
    static uint8_t bytes[MESH_MTU];
    for (;;) {
        mesh_addr_t from;
        mesh_data_t data = {.data = bytes, .size = sizeof bytes};
        int flag = 0;
        if (esp_mesh_recv(&from, &data, portMAX_DELAY, &flag, NULL, 0) == ESP_OK) rootcast_esp_frame(data.data, data.size);
    }
}

void app_main(void)
{
    ESP_ERROR_CHECK(nvs_flash_init());
    rootcast_esp_config_t config = {
        .node_type = CONFIG_EXAMPLE_NODE_TYPE, .broker_uri = CONFIG_EXAMPLE_BROKER_URI, .ca_pem = CONFIG_EXAMPLE_CA_PEM,
        .is_root = CONFIG_EXAMPLE_IS_ROOT, .allow_unsigned = true, .show = show, .send_frame = send_frame,
    };
    ESP_ERROR_CHECK(rootcast_esp_start(&config)); /* first of all: it judges an image on trial */

    ESP_ERROR_CHECK(esp_netif_init());
    ESP_ERROR_CHECK(esp_event_loop_create_default());
    ESP_ERROR_CHECK(esp_netif_create_default_wifi_mesh_netifs(NULL, NULL));
    wifi_init_config_t wifi = WIFI_INIT_CONFIG_DEFAULT();
    ESP_ERROR_CHECK(esp_wifi_init(&wifi));
    ESP_ERROR_CHECK(esp_wifi_start());
    ESP_ERROR_CHECK(esp_mesh_init());
    ESP_ERROR_CHECK(esp_event_handler_register(MESH_EVENT, ESP_EVENT_ANY_ID, on_mesh, NULL));
    ESP_ERROR_CHECK(esp_mesh_fix_root(true));
    ESP_ERROR_CHECK(esp_mesh_set_type(CONFIG_EXAMPLE_IS_ROOT ? MESH_ROOT : MESH_NODE));
    mesh_cfg_t mesh = MESH_INIT_CONFIG_DEFAULT();
    memcpy(mesh.mesh_id.addr, "rootc1", 6);
    mesh.router.ssid_len = (uint8_t)strlen(CONFIG_EXAMPLE_ROUTER_SSID);
    memcpy(mesh.router.ssid, CONFIG_EXAMPLE_ROUTER_SSID, mesh.router.ssid_len);
    memcpy(mesh.router.password, CONFIG_EXAMPLE_ROUTER_PASSWORD, strlen(CONFIG_EXAMPLE_ROUTER_PASSWORD));
    mesh.mesh_ap.max_connection = 6;
    ESP_ERROR_CHECK(esp_mesh_set_config(&mesh));
    xTaskCreate(receive, "receive", 4096, NULL, 5, NULL);
    ESP_ERROR_CHECK(esp_mesh_start());
}
