//! Names of people, the frequent ones first.

/// Girls born before 1945.
pub(super) const FEMALE_BEFORE_1945: &str = "Mary Betty Barbara Dorothy Patricia Helen Margaret Shirley \
    Ruth Virginia Joan Doris Nancy Mildred Frances Carol Elizabeth Evelyn Anna Alice Jean Marie Joyce \
    Gloria Judith Florence Lillian Martha Rose Irene Marilyn Beverly Louise Catherine Donna Janet Ruby \
    Eleanor Lois Edna Thelma Phyllis Norma Josephine Elsie Grace Ethel Lucille Gladys Hazel Edith Annie \
    Pauline Marjorie Carolyn Sandra Bernice Gertrude Juanita Clara Emma Peggy Rita Wilma Sylvia Bertha \
    Geraldine Audrey Esther Jane Sarah Agnes June Vivian Eva Loretta Bonnie Ida Dolores Katherine Ella \
    Roberta Charlotte Julia Laura Anne Marian Maxine Viola Vera Arlene Minnie Billie Stella Jacqueline \
    Marion Myrtle Kathryn Beatrice Jessie Bessie Velma Connie Willie Nellie Lorraine Yvonne Wanda \
    Constance Naomi Antoinette Opal Winifred Rosemary Geneva Genevieve Verna Harriet Inez Mabel Erma";
/// Girls born from 1945 to 1974.
pub(super) const FEMALE_BEFORE_1975: &str = "Linda Mary Lisa Susan Karen Patricia Barbara Deborah Donna \
    Kimberly Sandra Nancy Michelle Cynthia Pamela Sharon Kathleen Carol Debra Angela Diane Brenda Laura \
    Elizabeth Cheryl Tammy Janet Julie Janice Teresa Christine Lori Denise Kelly Jennifer Margaret Amy \
    Melissa Judy Kathy Carolyn Rebecca Tina Catherine Betty Robin Gail Jane Peggy Judith Joyce Beverly \
    Theresa Martha Bonnie Shirley Dawn Connie Maria Rhonda Wanda Rose Gloria Jacqueline Ann Paula \
    Stephanie Cindy Joan Wendy Tracy Anita Debbie Vicki Rita Ellen Sherry Sheila Valerie Marilyn Annette \
    Jean Joanne Dorothy Heather Anne Kathryn Suzanne Darlene Sally Charlotte Yvonne Jill Stacy Tracey \
    Andrea Katherine Christina Monica Dana Glenda Marie Diana Sarah Virginia Ruth Alice Vickie Victoria \
    Elaine Loretta Carla Sylvia Regina Gina Jeanne Eileen Rosemary Colleen Carmen Renee Maureen Roberta \
    Belinda Jo Lynn Yolanda Kim Melanie Becky Phyllis Marsha Laurie Terri Leslie Sonya Felicia Constance \
    Beth April Holly Penny Norma Frances Tonya Lorraine Kristin Veronica Jeanette Juanita Marcia Nora";
/// Girls born from 1975 to 1999.
pub(super) const FEMALE_BEFORE_2000: &str = "Jessica Jennifer Amanda Ashley Sarah Melissa Nicole \
    Stephanie Elizabeth Heather Samantha Megan Brittany Amber Lauren Kayla Emily Rachel Danielle \
    Christina Michelle Tiffany Crystal Laura Rebecca Kimberly Amy Courtney Alexis Victoria Taylor Hannah \
    Katherine Vanessa Erin Kelly Chelsea Andrea Jamie Mary Sara Alyssa Lisa Angela Jasmine Kathryn Erica \
    Kristen Shannon Allison Julie Anna Morgan Jacqueline Natalie Alexandra Natasha Katie Lindsay Brianna \
    Maria Cassandra April Abigail Monica Veronica Whitney Olivia Holly Leah Caitlin Patricia Margaret \
    Kristin Brandi Brandy Sabrina Haley Lindsey Molly Julia Tara Krystal Kelsey Jenna Mallory Candice \
    Bethany Erika Tracy Savannah Catherine Monique Alicia Bianca Diana Desiree Misty Paige Brooke \
    Cynthia Gabrielle Jordan Shelby Madison Sydney Grace Kaitlyn Meghan Cheyenne Hailey Chloe Krista \
    Kathleen Rachael Robyn Nichole Karina Adriana Ariel Mariah Dominique Summer Autumn Angelica Marissa \
    Raven Sierra Claire Meredith Jillian Katrina Audrey Melanie Valerie Latoya Ebony Tasha Kendra Tamara \
    Carly Hillary Brenda Felicia";
/// Girls born since 2000.
pub(super) const FEMALE_SINCE_2000: &str = "Emma Olivia Isabella Ava Sophia Emily Abigail Madison Mia \
    Elizabeth Charlotte Ella Chloe Hannah Grace Amelia Samantha Addison Natalie Lily Avery Alexis Harper \
    Evelyn Victoria Sofia Zoey Ashley Alyssa Hailey Anna Sarah Brianna Leah Layla Riley Kayla Savannah \
    Audrey Allison Nora Camila Aubrey Claire Scarlett Brooklyn Zoe Aria Penelope Lillian Hazel Taylor \
    Bella Skylar Lucy Nevaeh Aaliyah Gabriella Jasmine Sydney Morgan Julia Destiny Kaylee Jessica Megan \
    Stella Ellie Luna Violet Aurora Paisley Kennedy Naomi Maya Ruby Alexa Serenity Caroline Madelyn Eva \
    Autumn Eleanor Quinn Piper Willow Ariana Faith Trinity Rachel Katelyn Mackenzie Lauren Sophie Peyton \
    Ivy Emilia Josephine Jade Eliana Kinsley Delilah Genesis Kylie Makayla Bailey Isabelle Brooke Rylee \
    Isla Cora Gianna Alice Jocelyn Reagan Jordyn Maria Nicole Londyn Annabelle Everly Amaya Adalyn \
    Melanie Valentina Ximena Mariah Margaret Lydia Jayla Gracie Aliyah Payton Reese Julianna Kaitlyn \
    Lilly Presley Adeline Teagan Summer Daisy Molly Sadie Vivian Rose Amy Ana Eden June Nova Emery Iris \
    Juliana Hadley";
/// Boys born before 1945.
pub(super) const MALE_BEFORE_1945: &str = "Robert James John William Richard Charles George Donald \
    Joseph Edward Thomas Frank Harold Paul Raymond Walter Jack Henry Kenneth Arthur Albert David Harry \
    Ralph Eugene Howard Carl Willie Louis Clarence Earl Roy Fred Joe Francis Lawrence Herbert Leonard \
    Ernest Alfred Anthony Stanley Norman Gerald Daniel Samuel Bernard Billy Melvin Ronald Marvin Warren \
    Leroy Michael Russell Herman Leo Andrew Edwin Elmer Peter Floyd Lloyd Ray Frederick Theodore \
    Clifford Vernon Larry Clyde Lewis Philip Alvin Lester Gordon Vincent Sam Glenn Jerry Gene Leon \
    Chester Jim Alexander Edgar Jesse Milton Bobby Cecil Martin Clayton Gilbert Wallace Victor Dale \
    Everett Benjamin Wilbur Claude Maurice Homer Virgil Roger Charlie Allen Wayne Roland Nicholas Oscar \
    Dennis Hugh Luther Horace Archie Rudolph Max Orville Ruben Sidney Julian Marion Angelo Otis Ira \
    Wendell Emil Irving";
/// Boys born from 1945 to 1974.
pub(super) const MALE_BEFORE_1975: &str = "Michael James John Robert David William Richard Mark Thomas \
    Steven Jeffrey Joseph Timothy Kevin Scott Brian Charles Gary Paul Daniel Ronald Kenneth Anthony \
    Larry Donald Stephen Christopher Gregory Edward Dennis George Eric Jerry Terry Douglas Keith Todd \
    Patrick Roger Randy Matthew Bruce Craig Andrew Raymond Rodney Peter Wayne Carl Danny Ricky Frank \
    Tony Barry Phillip Lawrence Jonathan Dale Russell Alan Jay Bobby Ralph Jimmy Johnny Darrell Vincent \
    Philip Martin Glenn Roy Henry Walter Joel Billy Jose Harold Bradley Chad Curtis Jon Ronnie Shawn \
    Ernest Albert Jack Samuel Leonard Gerald Howard Stanley Marvin Arthur Allen Louis Leon Joe Dean \
    Victor Jason Norman Francis Mitchell Fred Eugene Earl Harry Dwayne Melvin Darren Clarence Ricardo \
    Warren Lee Theodore Nicholas Kirk Kurt Karl Stuart Duane Clifford Tommy Adam Troy Reginald Brett \
    Greg Kent Willie Marcus Antonio Juan Benjamin Manuel Luis Tim Jim Mike Steve Lonnie Neil Brad Kelly \
    Roberto Maurice Alvin Gilbert Andre Herbert Lloyd Dana Randall Lance Derrick Aaron Sean Calvin Jesse \
    Frederick Gordon Franklin Leroy Max Ross Guy";
/// Boys born from 1975 to 1999.
pub(super) const MALE_BEFORE_2000: &str = "Michael Christopher Matthew Joshua Jacob Nicholas Andrew \
    Daniel Tyler Joseph Brandon David James Ryan John Justin William Robert Jonathan Kyle Anthony Kevin \
    Eric Thomas Steven Brian Timothy Adam Richard Zachary Alexander Benjamin Aaron Cody Samuel Mark \
    Jeffrey Charles Jason Stephen Nathan Sean Jeremy Patrick Dustin Travis Jesse Christian Gregory Scott \
    Kenneth Jared Bryan Bradley Paul Derek Shane Jordan Edward Austin Chad Trevor Marcus Joel Peter \
    Shawn Corey Keith Dylan Cameron Ethan Evan Victor Casey Erik Ian Blake Mitchell Taylor Seth Alex \
    Brett Garrett Vincent Donald Spencer Phillip Devin Luis Antonio Carlos Juan George Raymond Douglas \
    Derrick Wesley Brent Logan Lucas Gabriel Curtis Chase Bryce Hunter Colin Tanner Connor Dakota Grant \
    Jose Johnathan Ronald Gary Marc Philip Jack Dominic Carl Randy Edwin Terrance Andre Dominique Darius \
    Isaiah Elijah Caleb Noah Luke Mason Max Henry Julian Frank Clayton Tony Troy Colton Drew Preston \
    Brendan Omar Lance Micah Malik Roger Larry Jerome Xavier Dalton Ross Allen Ricky Jamal Alan Albert \
    Byron Levi Nolan Jake";
/// Boys born since 2000.
pub(super) const MALE_SINCE_2000: &str = "Jacob Michael Ethan Noah William Alexander Liam Mason Daniel \
    Joshua Jayden James Matthew Aiden Anthony Benjamin Logan Elijah Joseph Andrew Christopher David \
    Jackson Lucas Gabriel Samuel Ryan John Dylan Nathan Tyler Oliver Christian Caleb Isaac Luke Brandon \
    Owen Henry Wyatt Nicholas Jack Isaiah Evan Landon Carter Julian Hunter Aaron Connor Gavin Eli \
    Jonathan Levi Jeremiah Thomas Charles Cameron Jordan Angel Adrian Austin Zachary Robert Jose Kevin \
    Justin Dominic Chase Jason Xavier Ian Colton Sebastian Adam Nolan Josiah Brayden Parker Grayson \
    Lincoln Easton Theodore Jaxon Asher Blake Cooper Hudson Leo Ezra Tristan Carson Brody Miles Jace Max \
    Ryder Cole Maverick Kayden Sawyer Declan Micah Silas Kai Jasper Axel Bryson Ayden Weston Colin Roman \
    Nathaniel Vincent Kaleb George Everett Bentley Malachi Damian Santiago Diego Alex Patrick Steven \
    Elias Garrett Bennett Emmett Victor Kingston Jude Ashton Edward Finn Beau Seth Preston Jesse Richard \
    Rowan Maddox Greyson August Giovanni Brian Camden Calvin Peter Bryce Marcus Oscar Caden Devin Trevor \
    Grant Brady Abel Zane Griffin Tucker";
/// Middle names that girls are given rather than called by.
pub(super) const FEMALE_MIDDLES: &str = "Ann Marie Lynn Elizabeth Jean Louise Rose Grace Mae Lee Jane \
    Nicole Michelle Renee Kay Sue Jo Anne Elaine Rae Faith Hope Dawn Danielle";
/// Middle names that boys are given rather than called by.
pub(super) const MALE_MIDDLES: &str = "James Lee Michael John William Allen Joseph Edward Ray Wayne \
    Thomas David Alan Robert Scott Dean Eugene Paul Patrick Anthony Alexander Dale Lynn Louis";
/// Girls of Spanish-speaking families.
pub(super) const FEMALE_HISPANIC: &str = "Maria Guadalupe Ana Rosa Carmen Sofía Isabel Juana Martha \
    Leticia Silvia Gabriela Alejandra Verónica Claudia Adriana Patricia Yolanda Margarita Daniela \
    Valeria Camila Ximena Lucía Fernanda Elena Teresa Alma Irma Blanca Esperanza Luz Araceli Beatriz \
    Norma Gloria Mónica Paola Natalia Mariana Rocío Esmeralda Pilar Consuelo Dolores Estela Lourdes \
    Mercedes Raquel Susana Yesenia Marisol Griselda Graciela Josefina Inés";
/// Boys of Spanish-speaking families.
pub(super) const MALE_HISPANIC: &str = "José Juan Luis Carlos Jesús Miguel Jorge Pedro Francisco Antonio \
    Alejandro Manuel Ricardo Fernando Roberto Eduardo Javier Rafael Daniel Mario Sergio Raúl Arturo \
    Óscar Diego Enrique Gerardo Martín Armando Alfredo Pablo Alberto Andrés Ángel Rubén Héctor Ramón \
    Salvador Guillermo Ernesto Ismael Mateo Santiago Emiliano Marco Julio César Gustavo Rodolfo Adrián \
    Iván Víctor Hugo Felipe Ignacio Tomás Joaquín Esteban";
/// Girls of East Asian families.
pub(super) const FEMALE_EAST_ASIAN: &str = "Mei Linh Yan Hui Xiu Ying Jing Thi Hoa Huong Lan Mai Thuy \
    Trang Ngoc Kim Soo-Jin Ji-Woo Min-Ji Hye-Jin Eun Yuki Keiko Sakura Yoko Akiko Naomi Emi Li Na Fang \
    Min Xia Hong Qing Lei Rui Wen Xin Maricel Rosalie Divina Jocelyn Cherry Bich Phuong Tuyet Van Anh \
    Chau";
/// Boys of East Asian families.
pub(super) const MALE_EAST_ASIAN: &str = "Wei Minh Jun Hao Tuan Hung Dung Duc Long Nam Quang Thanh Tien \
    Vinh Jin Min-Jun Ji-Hoon Sung Dong-Hyun Young Hiroshi Kenji Takashi Akira Satoshi Daisuke Ming Lei \
    Feng Gang Jian Tao Bin Chao Bo Yong Zhi Rodel Jerome Arnel Reynaldo Khanh Phuc Son Cuong Hieu Binh \
    Anh Van";
/// Girls of South Asian, Arab and African families.
pub(super) const FEMALE_SOUTH_ASIAN: &str = "Priya Fatima Aisha Ananya Deepa Sunita Amina Mariam Zainab \
    Khadija Noor Layla Sana Pooja Neha Kavita Anjali Lakshmi Meena Rekha Shreya Divya Nisha Hana Yasmin \
    Salma Huda Rania Amira Asma Ngozi Chidinma Adaeze Amara Abena Akua Folake Yetunde Hawa Halima Sahra \
    Hodan Tigist Selam Meskerem Ifeoma Nadia";
/// Boys of South Asian, Arab and African families.
pub(super) const MALE_SOUTH_ASIAN: &str = "Mohammed Ahmed Raj Arjun Omar Ali Rahul Amit Sanjay Vijay \
    Ibrahim Yusuf Hassan Khalid Mustafa Imran Tariq Bilal Rohan Anil Suresh Ravi Sunil Vikram Harpreet \
    Gurpreet Manpreet Hussein Mahmoud Karim Samir Tarek Emeka Chidi Kwame Kofi Kwabena Oluwaseun \
    Babatunde Tunde Abdi Abdullahi Mohamed Muhammad Dawit Yonas Tesfaye Nnamdi Ikenna Sami Faisal Adnan";

/// Family names of the many, but for those below.
pub(super) const FAMILIES: &str = "Smith Johnson Williams Brown Jones Miller Davis Wilson Anderson \
    Thomas Taylor Moore Jackson Martin Lee Thompson White Harris Clark Lewis Robinson Walker Young Allen \
    King Wright Scott Hill Green Adams Nelson Baker Hall Campbell Mitchell Carter Roberts Phillips Evans \
    Turner Parker Collins Edwards Stewart Morris Murphy Cook Rogers Morgan Peterson Cooper Reed Bailey \
    Bell Kelly Howard Ward Cox Richardson Wood Watson Brooks Bennett Gray James Hughes Price Myers Long \
    Foster Sanders Ross Powell Sullivan Russell Jenkins Perry Butler Barnes Fisher Henderson Coleman \
    Simmons Patterson Jordan Reynolds Hamilton Graham Alexander Wallace Griffin West Cole Hayes Bryant \
    Gibson Ellis Stevens Murray Ford Marshall Owens McDonald Harrison Kennedy Wells Woods Henry Chen \
    Freeman Webb Tucker Burns Crawford Olson Simpson Porter Hunter Gordon Shaw Snyder Mason Dixon Hunt \
    Hicks Holmes Palmer Wagner Black Robertson Boyd Rose Stone Fox Warren Mills Meyer Rice Schmidt \
    Daniels Ferguson Nichols Stephens Weaver Ryan Gardner Payne Grant Dunn Kelley Spencer Hawkins Arnold \
    Pierce Hansen Peters Santos Hart Bradley Knight Elliott Cunningham Duncan Armstrong Hudson Carroll \
    Lane Riley Andrews Ray Berry Perkins Hoffman Johnston Matthews Richards Willis Carpenter Lawrence \
    Sandoval Guerrero George Chapman Rios Greene Watkins Harper Bishop Wheeler Larson Carr Franklin \
    Harvey Lynch Gilbert Burke Jensen Larsen Banks Morrison O'Brien Montgomery Jacobs Lawson Walsh \
    Holland Fields Fuller Howell Dean Hanson Oliver Burton Garrett Weber Romero Day Little Simon Brewer \
    Welch Schultz Fowler Bowman Davidson May Silva Neal Barrett Curtis Fleming Newman Hopkins Byrd \
    Moreno Caldwell Austin Beck Lowe Watts Brady Bates Holt McCoy Rhodes Jennings Hale Pearson Barker \
    Steele Leonard Erickson Wolfe Norris Gregory Graves Chambers Sutton Klein Craig Schneider Becker \
    Benson Mullins Keller Kim Terry Ball Todd Stevenson Horton Reid Walters McCarthy Maldonado \
    Christensen Sharp Wong Robbins Thornton Townsend Mann Blair Lambert Zimmerman Goodwin Page Cross \
    Hodges Manning Mack Swanson Hampton Moss Newton Robles Hogan Reese Parsons Gill Dawson Osborne Hines \
    Bush Ingram Norman Baldwin Burgess Warner Maxwell Gibbs Higgins Tyler Cohen Logan Bowen Francis \
    Potter Rodgers Wise Blake Poole Mullen Fitzgerald Harmon Casey Doyle Ramsey McKinney Yates Wolf Roy \
    Farmer Griffith Strickland Chandler Hammond Bowers Cannon Owen McBride Barton Malone Lloyd Goodman \
    Barber Cobb Floyd Glover Nash Underwood Hubbard Patton Sherman Moran Webster Quinn French Schwartz \
    Bass Brock Conner Tate Clayton Olsen Copeland Cain Combs Flynn Hobbs Weiss Frank Vaughn Pratt Garner \
    Kramer Singleton Marsh Doherty Skinner Stokes Pope Christian Morton Randall Carlson Pruitt Atkins \
    Waters Harrington Burnett Nixon Bond Booker Gallagher Shepherd Wilkerson Hull Branch Huff Mathis \
    Buchanan Sparks Dalton Woodward Kirby Ballard Bauer Barry Hancock Lindsey Boone Mayer Drake Walton \
    Whitaker Goodrich Kent Shelton Heath Short English Sheppard Sexton Parrish Dickerson Roach Case \
    Kaufman Kline Kerr McLaughlin McCormick Houston Melton Beard Sloan Merritt Nolan Dyer Livingston \
    Glenn Summers Wilkins Golden Brennan Donovan Savage Church Rowe Jefferson Hardin Crosby Stafford \
    Bryan Bradford Schroeder Monroe Lyons McGuire Massey Rich Conway Hood Garrison Middleton Pace Stark \
    Herring Dodson O'Connor McDaniel McKenzie McIntyre McMillan O'Neal O'Donnell Sweeney Petersen \
    Fischer Eaton Huber Krueger Kuhn Lutz Hess Haas Koch Roth Stein Berger Vogel Lang Decker Kaiser \
    Schaefer Schumacher Kowalski Nowak Novak Wisniewski Kaminski Zielinski Rossi Russo Romano Esposito \
    Marino Moretti Ricci Gallo Costa Fontana Greco Petrov Ivanov Kozlov Popov Cormier LeBlanc Boudreaux \
    Landry Hebert Fontenot Guidry Thibodeaux Dubois Fournier Gagnon Pelletier Bouchard Bergeron Lefebvre \
    Beaulieu";
/// Family names of Spanish-speaking families.
pub(super) const FAMILIES_HISPANIC: &str = "Garcia Rodriguez Martinez Hernandez Lopez Gonzalez Perez \
    Sanchez Ramirez Torres Flores Rivera Gomez Diaz Reyes Morales Cruz Ortiz Gutierrez Chavez Ramos Ruiz \
    Alvarez Mendoza Vasquez Castillo Jimenez Moreno Romero Herrera Medina Aguilar Vargas Guzman Mendez \
    Muñoz Salazar Garza Soto Vazquez Alvarado Delgado Peña Contreras Sandoval Guerrero Rios Estrada \
    Ortega Nuñez Maldonado Vega Dominguez Espinoza Padilla Silva Castro Rojas Marquez Cortez Luna \
    Santiago Santos Juarez Figueroa Mejia Avila Molina Carrillo Campos Serrano Acosta Fuentes Miranda \
    Leon Navarro Cabrera Rosales Ochoa Salinas Cervantes Zamora Trujillo Velasquez Orozco Ibarra \
    Cisneros Solis Lara Duran Mora Ayala Macias Rosario Colon Pacheco Camacho Valdez Cardenas Calderon \
    Robles";
/// Family names of East Asian families.
pub(super) const FAMILIES_EAST_ASIAN: &str = "Nguyen Kim Lee Tran Chen Wong Li Wang Le Pham Yang Park \
    Chang Lin Liu Wu Huang Chan Zhang Choi Vu Ho Vang Xiong Cho Ng Huynh Cheng Lam Chung Phan Yu Dang Do \
    Bui Hoang Truong Vo Duong Ngo Luong Ly Tanaka Yamamoto Nakamura Watanabe Suzuki Sato Ito Kobayashi \
    Zhao Zhou Xu Sun Ma Zhu Guo Hu Lim Tan Chu Kang Han Yoon Jung Shin Song Bautista Reyes Dela-Cruz \
    Santos Villanueva Aquino Pascual";
/// Family names of South Asian, Arab and African families.
pub(super) const FAMILIES_SOUTH_ASIAN: &str = "Patel Singh Khan Ali Ahmed Shah Kumar Sharma Hassan \
    Hussain Gupta Kaur Mohamed Ahmad Desai Mehta Reddy Rao Iyer Nair Chowdhury Rahman Islam Hussein \
    Ibrahim Abdi Osman Yusuf Mohammed Haddad Khoury Mansour Nasser Saleh Abdullah Farah Okafor Okeke Eze \
    Obi Mensah Owusu Boateng Asante Adeyemi Adebayo Balogun Diallo Traore Kamara Sesay Bekele Tadesse \
    Haile Mbeki Malik Qureshi Siddiqui Chaudhry Bhatt Joshi Verma Mishra Das El-Sayed Al-Masri Bin-Saleh";

/// Beginnings of rare family names.
pub(super) const FAMILY_STARTS: &str = "Ber Kra Hol Win Stan Brad Wes Lin Har Mor Ash Bran Cal Dor El \
    Fen Gar Hart Kel Lang Mar Nor Ol Pet Rad Sal Tor Ul Van Wal Zim Bou Cas Del Esch Far Gro Hend Jar \
    Kos Led Mal Ned Os Pas Quin Ros Sched Tan Ur Vel Wein Yar Zel Bart Croft Dun Eber Fritz Gold Hein \
    Ing Jans Kirch Lieb Mitch Nuss Ort Pfann Reich Stro Thorn Uhl Vock West Young Al Black Chad Drum \
    Ever Flan Gran Hask Ives Jen Kno Lock Mack Nick Ock Pem Ram Sher Till Under Vin Whit Bal Bod Car Col \
    Dav Den Fal Gil Gib Hal Hum Kar Kil Lam Lov Mat Mel Mon Pol Pri Rob Rus San Scar Ser Sin Ster Tal \
    Ter Tom Tre Var Vas Ver Wad War Wil Wood";
/// Middles of rare family names.
pub(super) const FAMILY_MIDDLES: &str = "a e i o en er el in an ing al ar or et is ow on il am es";
/// Ends of rare family names.
pub(super) const FAMILY_ENDS: &str = "man son er ley ton wood field berg ford ham stein ski wicz ell ett \
    ini ello ard bach brook by cott croft dale den don gan gate hart house hoff ier ing kamp ke kins \
    land ler lin low maier mann mont more nell ner ness niak ova rell rich ridge rick rin row ser shaw \
    sky smith sted stone sworth tano tell ter ther thwaite tino vage vale ville ward water way wick win \
    worth yard zak zio";
/// What may stand before a family name.
pub(super) const FAMILY_PREFIXES: [&str; 12] =
    ["Mc", "Mac", "O'", "Mc", "O'", "De", "De La ", "Van ", "Van Der ", "Von ", "St. ", "Di"];

/// A given name and what people of that name are called.
pub(super) const NICKNAMES: &str = "Robert Bob Bobby Rob, William Bill Billy Will Liam, James Jim Jimmy \
    Jamie, John Jack Johnny, Richard Rick Dick Rich, Michael Mike Mikey, Joseph Joe Joey, Thomas Tom \
    Tommy, Charles Charlie Chuck, Christopher Chris Topher, Daniel Dan Danny, Matthew Matt, Anthony \
    Tony, Donald Don Donnie, Steven Steve, Stephen Steve, Andrew Andy Drew, Joshua Josh, Kenneth Ken \
    Kenny, Edward Ed Eddie Ted, Ronald Ron Ronnie, Timothy Tim, Jeffrey Jeff, Nicholas Nick Nicky, \
    Jonathan Jon, Lawrence Larry, Benjamin Ben, Samuel Sam Sammy, Gregory Greg, Alexander Alex Xander \
    Sasha, Patrick Pat Paddy, Raymond Ray, Jerry Gerald, Gerald Jerry Gerry, Douglas Doug, Peter Pete, \
    Zachary Zach Zack, Frederick Fred Freddy, Albert Al Bert, Eugene Gene, Philip Phil, Phillip Phil, \
    Leonard Len Lenny, Theodore Ted Theo, Henry Hank Harry, Walter Walt Wally, Arthur Art, Francis \
    Frank, Jacob Jake, Nathaniel Nate, Nathan Nate, Bradley Brad, Vincent Vince Vinny, Francisco Paco \
    Frank, José Pepe Joe, Jesús Chuy, Guillermo Memo Bill, Elizabeth Liz Beth Betty Lizzie Eliza, \
    Margaret Maggie Peggy Meg, Patricia Pat Patty Tricia, Jennifer Jen Jenny, Barbara Barb Barbie, Susan \
    Sue Susie, Jessica Jess Jessie, Katherine Kathy Kate Katie Kit, Kathleen Kathy Kate, Catherine Cathy \
    Kate, Kathryn Kathy Kate, Deborah Deb Debbie, Debra Deb Debbie, Rebecca Becky Becca, Dorothy Dot \
    Dottie, Kimberly Kim, Christina Chris Tina Chrissy, Christine Chris Tina, Sandra Sandy, Pamela Pam, \
    Cynthia Cindy, Victoria Vicky Tori, Stephanie Steph, Samantha Sam Sammy, Amanda Mandy, Melissa Missy \
    Mel, Theresa Terry Tess, Teresa Terry Tess, Judith Judy, Virginia Ginny, Frances Fran Frankie, \
    Abigail Abby Gail, Alexandra Alex Sandra, Gabrielle Gabby, Gabriella Gabby Ella, Isabella Bella \
    Izzy, Madison Maddie, Olivia Liv Livvy, Jacqueline Jackie, Angela Angie, Carolyn Carol, Suzanne Sue \
    Suzy, Eleanor Ellie Nora, Guadalupe Lupe Lupita, Dolores Lola, Maria Mary, Josephine Jo Josie, \
    Evelyn Evie, Natalie Nat, Valerie Val, Beverly Bev, Marjorie Marge, Mildred Millie, Harold Hal, \
    Cameron Cam, Gabriel Gabe, Joel Joe, Mitchell Mitch, Ricardo Rick, Antonio Tony, Manuel Manny, \
    Alejandro Alex";
