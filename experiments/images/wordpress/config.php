<?php
// WordPress's settings; where the database is comes from the environment.
define('DB_NAME', 'wordpress');
define('DB_USER', 'wordpress');
define('DB_PASSWORD', 'wordpress');
define('DB_HOST', getenv('DB_HOST'));
define('DB_CHARSET', 'utf8mb4');
// Nobody logs in.
foreach (['AUTH', 'SECURE_AUTH', 'LOGGED_IN', 'NONCE'] as $use) {
    define("{$use}_KEY", "key $use");
    define("{$use}_SALT", "salt $use");
}
// A blog on any address and port.
$_SERVER['HTTP_HOST'] = $_SERVER['BLOG_HOST'] ?? 'localhost';
define('WP_HOME', 'http://' . $_SERVER['HTTP_HOST']);
define('WP_SITEURL', WP_HOME);
define('WP_CONTENT_DIR', '/usr/share/wordpress/wp-content');
define('DISABLE_WP_CRON', true);
define('WP_HTTP_BLOCK_EXTERNAL', true);
