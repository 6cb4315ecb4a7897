<?php
// WordPress's settings, from the environment and a secret.
$password = getenv('WORDPRESS_DB_PASSWORD_FILE') ? trim(file_get_contents(getenv('WORDPRESS_DB_PASSWORD_FILE')))
    : getenv('WORDPRESS_DB_PASSWORD');
define('DB_NAME', getenv('WORDPRESS_DB_NAME') ?: 'wordpress');
define('DB_USER', getenv('WORDPRESS_DB_USER') ?: 'wordpress');
define('DB_PASSWORD', $password);
define('DB_HOST', getenv('WORDPRESS_DB_HOST') ?: 'db');
define('DB_CHARSET', 'utf8mb4');
// The same in every replica, and nobody else's.
foreach (['AUTH', 'SECURE_AUTH', 'LOGGED_IN', 'NONCE'] as $use) {
    define("{$use}_KEY", hash_hmac('sha256', "$use key", $password));
    define("{$use}_SALT", hash_hmac('sha256', "$use salt", $password));
}
// The name by which the visitor came: a blog on any address and port.
$_SERVER['HTTP_HOST'] = $_SERVER['BLOG_HOST'] ?? $_SERVER['HTTP_HOST'];
define('WP_HOME', 'http://' . $_SERVER['HTTP_HOST']);
define('WP_SITEURL', WP_HOME);
define('WP_CONTENT_DIR', '/usr/share/wordpress/wp-content');
define('DISABLE_WP_CRON', true);
define('WP_HTTP_BLOCK_EXTERNAL', true);
