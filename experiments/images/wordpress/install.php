<?php
// Makes WordPress's tables, and ten posts.
define('WP_INSTALLING', true);
$_SERVER['HTTP_HOST'] = 'localhost';
require '/usr/share/wordpress/wp-load.php';
require ABSPATH . 'wp-admin/includes/upgrade.php';
// No message to an administrator who is not there.
function wp_mail() { return true; }
wp_install('A blog under load', 'admin', 'admin@example.org', true, '', 'admin');
switch_theme('twentytwentyone');
for ($number = 1; $number <= 10; $number++) {
    $text = str_repeat("<p>What isolation costs depends on what is isolated, and on what beside it runs. </p>\n", 20);
    wp_insert_post(['post_title' => "Post $number", 'post_content' => $text, 'post_status' => 'publish', 'post_author' => 1]);
}
