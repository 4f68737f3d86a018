#include "esp_idf_on_a_host.h"
