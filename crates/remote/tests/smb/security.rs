//! Who is let in, and how what is said is protected.

use expect_test::{Expect, expect};
use thither_place::Exit;
use thither_remote::smb::{Encrypt, Settings, Smb};
use thither_remote::ssh::Secret;

use crate::common::{Host, host, output, refused, sh};

#[track_caller]
fn works(host: &Host, encrypt: Encrypt) {
    let place = Smb::from(Settings { encrypt, ..host.settings() });
    let output = output(&place, &sh("echo hello"));
    assert_eq!((output.stdout.as_slice(), output.exit), (&b"hello\n"[..], Exit::Code(0)));
}

#[test]
fn all_wishes_work_with_a_server_that_does_as_it_is_asked() {
    let host = host!().serves();
    works(&host, Encrypt::Require);
    works(&host, Encrypt::Prefer);
    works(&host, Encrypt::Off);
}

#[test]
fn a_server_may_demand_encryption() {
    let host = host!("server smb encrypt = required").serves();
    works(&host, Encrypt::Require);
    works(&host, Encrypt::Prefer);
    works(&host, Encrypt::Off);
}

#[test]
fn a_server_may_choose_the_cipher() {
    for cipher in ["AES-128-GCM", "AES-128-CCM"] {
        let host = host!(&format!("server smb3 encryption algorithms = {cipher}")).serves();
        works(&host, Encrypt::Require);
    }
    // With this one the crate makes wrong keys.
    let host = host!("server smb3 encryption algorithms = AES-256-GCM").serves();
    check(
        host.settings(),
        expect![
            "cannot enter `smb:USER@127.0.0.1`: it cannot encrypt; hint: enable encryption there, or do without by the option encrypt=prefer"
        ],
    );
}

#[test]
fn a_server_may_choose_the_signatures() {
    for algorithm in ["AES-128-GMAC", "AES-128-CMAC"] {
        let signing = format!("server smb3 signing algorithms = {algorithm}");
        let host =
            host!(&format!("{signing}\nserver signing = mandatory\nserver smb encrypt = off"));
        works(&host.serves(), Encrypt::Off);
    }
}

#[test]
fn a_server_that_cannot_encrypt_is_left_unless_that_is_allowed() {
    let host = host!("server smb encrypt = off").serves();
    check(
        host.settings(),
        expect![
            "cannot enter `smb:USER@127.0.0.1`: it cannot encrypt; hint: enable encryption there, or do without by the option encrypt=prefer"
        ],
    );
    works(&host, Encrypt::Prefer);
    works(&host, Encrypt::Off);
}

#[track_caller]
fn check(settings: Settings, expected: Expect) {
    let user = settings.username.clone().unwrap_or_default();
    expected.assert_eq(&refused(&Smb::from(settings)).replace(&user, "USER"));
}

#[test]
fn a_wrong_password_is_refused() {
    let host = host!().serves();
    let password = Some(Secret::new("wrong"));
    check(
        Settings { password, ..host.settings() },
        expect![[
            r#"cannot enter `smb:USER@127.0.0.1`: `USER` cannot log on: the user or the password is wrong; hint: check the user, the password and the domain, as in username=DOMAIN\USER"#
        ]],
    );
}

#[test]
fn an_unknown_user_is_refused() {
    let host = host!().serves();
    check(
        Settings { username: Some("nobody-knows".into()), ..host.settings() },
        expect![[
            r#"cannot enter `smb:USER@127.0.0.1`: `USER` cannot log on: the user or the password is wrong; hint: check the user, the password and the domain, as in username=DOMAIN\USER"#
        ]],
    );
}

#[test]
fn a_domain_is_taken() {
    let host = host!().serves();
    for name in ["THITHER\\", "THITHERTEST\\"] {
        let username = Some(format!("{name}{}", host.smbd.user()));
        let place = Smb::from(Settings { username, ..host.settings() });
        assert_eq!(output(&place, &sh("true")).exit, Exit::Code(0));
    }
    let domain = Some("THITHERTEST".into());
    let place = Smb::from(Settings { domain, ..host.settings() });
    assert_eq!(output(&place, &sh("true")).exit, Exit::Code(0));
}

#[test]
fn a_guest_is_not_what_we_asked_for() {
    let host = host!("map to guest = bad user\nguest account = nobody").serves();
    check(
        Settings { username: Some("nobody-knows".into()), ..host.settings() },
        expect![
            "cannot enter `smb:USER@127.0.0.1`: it lets `USER` in as a guest only; hint: name a user of its own with the right password"
        ],
    );
    let host = host!("map to guest = bad password\nguest account = nobody").serves();
    let password = Some(Secret::new("wrong"));
    check(
        Settings { password, ..host.settings() },
        expect![
            "cannot enter `smb:USER@127.0.0.1`: it lets `USER` in as a guest only; hint: name a user of its own with the right password"
        ],
    );
}

#[test]
fn what_cannot_be_is_refused_before_anybody_is_asked() {
    // Nobody is there.
    let at = || Settings { host: "192.0.2.1".into(), ..Settings::default() };
    check(
        Settings { username: Some("mary".into()), ..at() },
        expect![
            "cannot enter `smb:USER@192.0.2.1`: no password is given, and Kerberos is not supported; hint: give one by the option ask-password or password-file=FILE"
        ],
    );
    let password = || Some(Secret::new("secret"));
    let guest = || Some("Guest".into());
    check(
        Settings { username: guest(), password: password(), ..at() },
        expect![
            "cannot enter `smb:USER@192.0.2.1`: the user `USER` is a guest's; hint: name a user of its own with the right password"
        ],
    );
    let username = Some("OFFICE\\".into());
    check(
        Settings { username, password: password(), ..at() },
        expect![[
            r#"cannot enter `smb:USER\@192.0.2.1`: the name of a user is missing; hint: name one by the option username=USER"#
        ]],
    );
}

#[test]
fn older_protocols_are_not_spoken() {
    let host = host!("server max protocol = SMB3_02").serves();
    check(
        host.settings(),
        expect![
            "cannot enter `smb:USER@127.0.0.1`: it does not speak SMB 3.1.1; hint: enable SMB 3 there: Windows 10, Windows Server 2016 or Samba 4.3"
        ],
    );
    let host = host!("server max protocol = SMB2_10").serves();
    check(
        host.settings(),
        expect![
            "cannot enter `smb:USER@127.0.0.1`: it does not speak SMB 3.1.1; hint: enable SMB 3 there: Windows 10, Windows Server 2016 or Samba 4.3"
        ],
    );
}
