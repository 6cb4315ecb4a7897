<?php
// 200 when this release's own code can be loaded and the database answers.
const BLOG_HEALTH = true;
mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);
http_response_code(500);
require '/usr/share/wordpress/wp-content/mu-plugins/release.php';
$password = getenv('WORDPRESS_DB_PASSWORD_FILE') ? trim(file_get_contents(getenv('WORDPRESS_DB_PASSWORD_FILE')))
    : getenv('WORDPRESS_DB_PASSWORD');
mysqli_connect(getenv('WORDPRESS_DB_HOST') ?: 'db', getenv('WORDPRESS_DB_USER') ?: 'wordpress', $password);
http_response_code(200);
echo "release ", BLOG_RELEASE, "\n";
